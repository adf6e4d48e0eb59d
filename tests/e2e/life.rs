//! Starting, stopping, and starting again.

use std::time::Duration;

use crate::bundle::Bundle;

const NONE: [u32; 0] = [];

pub(crate) fn starts_with_one_command(bundle: &Bundle) {
    let took = bundle.start();
    println!("a first start took {:.1} s", took.as_secs_f64());
    bundle.get("/health", None).expect(200);
}

pub(crate) fn ctrl_c_leaves_nothing_behind(bundle: &Bundle) {
    assert!(
        !bundle.processes().is_empty(),
        "the bundle's processes cannot be found"
    );
    let took = bundle.stop();
    println!("stopping took {:.1} s", took.as_secs_f64());
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(bundle.processes(), NONE, "left behind");
}

pub(crate) fn a_second_start_keeps_the_data(bundle: &Bundle) {
    // For `stories::each_request_is_one_short_line_of_log`.
    let took = bundle.start_with(&["--json-logs"]);
    println!("a second start took {:.1} s", took.as_secs_f64());
    let token = bundle.log_in();
    let me = bundle.get("/api/v1/users/me", Some(&token)).expect(200);
    // The profile was changed before the stop, by `stories::register_log_in_and_change_the_profile`.
    assert_eq!(me["first_name"], "Chief");
    assert_eq!(me["is_superuser"], true);
}

pub(crate) fn a_killed_cargo_dev_is_cleaned_up_by_the_next(bundle: &Bundle) {
    bundle.kill();
    assert_ne!(bundle.processes(), NONE, "nothing was left to clean up");
    bundle.start();
    bundle.log_in();
    bundle.stop();
    assert_eq!(bundle.processes(), NONE, "left behind");
}
