//! The `atypical` program.

// Tensors come and go by the megabyte, which the system's allocator maps and unmaps each time: page faults were an eighth of
// the time of a matrix-free LID.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    atypical::cli::main()
}
