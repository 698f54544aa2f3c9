//! The `atypical` program.

fn main() -> std::process::ExitCode {
    atypical::cli::main()
}
