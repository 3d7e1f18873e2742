//! What a call costs, and what it may cost at most.
//!
//! Owns: the catalog (which models there are, and what each provider charges for them), price lists with their
//! dated versions, the rating of a usage into a charge, the worst case that is held before a call, and the
//! search for the nearest name.
//! Must never: do IO, know a wire dialect, round an amount, or price a class at zero because no price is known.
//! Start reading at [`PriceVersion`], then [`rate`]. `docs/price-book.md` tells the same story to finance people.
#![warn(missing_docs)]

pub mod catalog;
pub mod hold;
pub mod name;
pub mod price;
pub mod rate;

pub use catalog::{Catalog, CatalogError, CatalogOffer, Model};
pub use hold::CallBound;
pub use name::nearest;
pub use price::{Cell, Context, PriceError, PriceList, PriceVersion};
pub use rate::{Charge, Flag, Line};
