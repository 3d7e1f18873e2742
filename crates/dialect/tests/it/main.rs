//! Golden files and properties of the wire, through the public API only.

#[cfg(test)]
mod anthropic;
#[cfg(test)]
mod bedrock;
#[cfg(test)]
mod bedrock_invoke;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod gemini;
#[cfg(test)]
mod losses;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod openai_responses;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod replies;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod thoughts;
#[cfg(test)]
mod tool_names;
#[cfg(test)]
mod wire;
