//! Every operation with a rule, against reverse mode and against central finite differences.
//!
//! All in f64, so that finite differences with a step of 1e-5 are good to about 1e-9 relative to the values, and the
//! tolerances say something.

#[path = "support/mod.rs"]
mod support;

use support::Case;

/// Against reverse mode, in which burn holds some scalars in f32.
const REVERSE: f64 = 1e-7;
/// Against finite differences.
const DIFFERENCES: f64 = 1e-7;
/// The same of what a backend computes in f32 whatever it is given.
const SINGLE: f64 = 3e-2;

#[test]
fn rules_agree_with_reverse_mode_and_with_finite_differences_on_flex() {
    check::<burn::backend::Flex>("flex", &["irfft"], &[]);
}

#[test]
fn rules_agree_with_reverse_mode_and_with_finite_differences_on_ndarray() {
    // What this backend does not implement at all, or not with broadcasting.
    let missing = ["rfft", "irfft", "powf, broadcast", "atan2, broadcast", "remainder, broadcast"];
    check::<burn::backend::NdArray<f64>>(
        "ndarray",
        &["sigmoid", "silu", "hard_sigmoid (0.2, 0.5)", "hard_swish"],
        &missing,
    );
}

fn check<B: support::Inner>(backend: &str, single: &[&str], missing: &[&str]) {
    let (mut reverse, mut differences) = (("", 0.0), ("", 0.0));
    let mut failures = Vec::new();
    for case in support::registry::<B>() {
        if missing.contains(&case.name) {
            continue;
        }
        let outcome =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| support::deviations(&case)));
        let Ok((r, d)) = outcome else {
            failures.push(format!("{}: panicked", case.name));
            continue;
        };
        let (r, single) = (r.unwrap_or(0.0), single.contains(&case.name));
        // Not a number passes no comparison.
        if !(r <= REVERSE && d <= if single { SINGLE } else { DIFFERENCES }) {
            failures.push(format!(
                "{}: {r:.1e} from reverse mode, {d:.1e} from finite differences",
                case.name
            ));
        }
        if r > reverse.1 {
            reverse = (case.name, r);
        }
        if d > differences.1 && !single {
            differences = (case.name, d);
        }
    }
    eprintln!(
        "{backend}: largest deviations {reverse:?} from reverse mode, {differences:?} from finite differences"
    );
    assert!(failures.is_empty(), "{} on {backend}:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_wrong_rule_is_found() {
    // `detach` hides half of the derivative of x² from forward and reverse mode alike, not from finite differences.
    let case: Case<burn::backend::Flex> =
        support::case!("half a square", [(-1.0, 1.0, [3])], |x| x[0].clone()
            * x[0].clone().detach());
    assert!(support::deviations(&case).1 > 1e-2);
}
