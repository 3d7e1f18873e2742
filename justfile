# Sugar: `cargo` alone does everything.

# Build and run on embedded defaults.
serve *args:
    cargo run --release -- serve {{args}}

# Everything that must hold before a change goes in.
ci *args:
    cargo xtask ci {{args}}

# What fails fastest.
check:
    cargo xtask ci --only fmt,tidy,clippy

# Write the golden files anew and show what changed.
golden *args:
    cargo xtask golden {{args}}

# SIGKILL under load; no call may be lost.
kill rounds="50":
    cargo xtask kill --rounds {{rounds}}

# Measure Steelyard against nginx.
bench *args:
    cargo xtask bench {{args}}
