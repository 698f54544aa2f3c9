//! What a device does not survive.

use std::any::Any;

/// cubecl drives each device from a thread of this name.
const DEVICE_THREAD: &str = "DSD";

/// From now on, end the program with an error where the thread that drives a GPU panics, as it does when memory runs out.
///
/// cubecl catches that panic and answers what is asked next with whatever the memory holds: a training would go on, with wrong numbers, and end as if all were well.
pub fn end_on_device_failure() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        if !thread.name().is_some_and(|name| name.starts_with(DEVICE_THREAD)) {
            return usual(panic);
        }
        eprintln!("error: {}", words(panic.payload()));
        std::process::exit(1);
    }));
}

/// What happened, and what to do.
fn words(payload: &dyn Any) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("it does not say why");
    let bytes =
        text.rsplit_once("can't allocate buffer of size: ").and_then(|(_, n)| n.parse().ok());
    match bytes {
        Some(bytes) => {
            let bytes: f64 = bytes;
            format!(
                "the device is out of memory: it cannot give another {:.1} GiB; lower `batch_size`, or of `lid` and `doctor` --memory; what was saved stays",
                bytes / f64::from(1 << 30)
            )
        }
        None => format!("the device failed: {text}; what was saved stays"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn running_out_of_memory_is_said_so() {
        let text = "called `Result::unwrap()` on an `Err` value: can't allocate buffer of size: 37527470080";
        let words = words(&text.to_owned());
        assert!(words.contains("another 35.0 GiB") && words.contains("batch_size"), "{words}");
        assert!(super::words(&"no page").contains("no page"));
    }

    #[test]
    fn the_program_ends_with_its_device() {
        const CHILD: &str = "DEVICE_FAILURE_CHILD";
        let panic = |name: &str| {
            let thread = std::thread::Builder::new().name(name.to_owned());
            let _ = thread.spawn(|| panic!("no memory page")).unwrap().join();
        };
        if std::env::var_os(CHILD).is_some() {
            end_on_device_failure();
            // Of other threads a panic is what it was before.
            panic("another");
            panic("DSD-0-0");
            std::process::exit(7);
        }
        let name = "backend::failure::tests::the_program_ends_with_its_device";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("error: the device failed: no memory page"), "{error}");
    }
}
