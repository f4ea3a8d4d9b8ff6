//! The program: see [`sok`] for the library behind it.

fn main() {
    sok::cli::main()
}
