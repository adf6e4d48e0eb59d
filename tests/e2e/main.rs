//! The real thing: `cargo dev` with the function binaries under cargo-lambda, used over HTTP.
//!
//! `cargo test -p tests --test e2e`. Starts one bundle on free ports with a data folder of its own, tells the
//! stories, stops it as Ctrl-C does, and looks for what is left.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed"
)]

mod browser;
mod bundle;
mod docs;
mod kill;
mod life;
mod mail;
mod metrics;
mod mistakes;
mod oauth;
mod oidc;
mod packaging;
mod python;
mod stories;
mod stripe;
mod tour;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use bundle::Bundle;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They share one bundle, and the last ones stop and start it.
    arguments.test_threads = Some(1);
    let folder = tempfile::tempdir().unwrap();
    let bundle = Arc::new(Bundle::new(folder.path()));
    let trial = |name: &str, story: fn(&Bundle)| {
        let bundle = bundle.clone();
        Trial::test(name, move || {
            story(&bundle);
            Ok(())
        })
    };
    let trials = vec![
        trial(
            "packaging::every_function_becomes_a_bootstrap",
            packaging::every_function_becomes_a_bootstrap,
        ),
        trial(
            "life::starts_with_one_command",
            life::starts_with_one_command,
        ),
        trial(
            "stories::every_function_answers",
            stories::every_function_answers,
        ),
        trial(
            "stories::register_log_in_and_change_the_profile",
            stories::register_log_in_and_change_the_profile,
        ),
        trial(
            "stories::bad_requests_are_problem_documents",
            stories::bad_requests_are_problem_documents,
        ),
        trial(
            "stories::a_registration_reaches_the_worker_through_sqs",
            stories::a_registration_reaches_the_worker_through_sqs,
        ),
        trial(
            "stories::requests_at_once_are_all_answered",
            stories::requests_at_once_are_all_answered,
        ),
        trial(
            "stories::each_request_is_told_in_one_readable_line",
            stories::each_request_is_told_in_one_readable_line,
        ),
        trial(
            "metrics::instances_tell_what_they_have_counted",
            metrics::instances_tell_what_they_have_counted,
        ),
        trial(
            "metrics::an_instance_that_ends_tells_the_rest",
            metrics::an_instance_that_ends_tells_the_rest,
        ),
        trial(
            "tour::the_tour_of_the_readme_works_as_it_is_printed",
            tour::works_as_it_is_printed,
        ),
        trial(
            "docs::swagger_ui_logs_in_and_sends_a_request",
            docs::swagger_ui_logs_in_and_sends_a_request,
        ),
        trial(
            "docs::redoc_shows_every_operation",
            docs::redoc_shows_every_operation,
        ),
        trial(
            "oauth::a_real_oauth_client_gets_and_refreshes_tokens",
            oauth::a_real_oauth_client_gets_and_refreshes_tokens,
        ),
        trial(
            "kill::a_killed_worker_loses_nothing",
            kill::a_killed_worker_loses_nothing,
        ),
        trial(
            "mail::a_mail_server_receives_the_mails",
            mail::a_mail_server_receives_the_mails,
        ),
        trial(
            "oidc::a_provider_from_npm_logs_somebody_in",
            oidc::a_provider_from_npm_logs_somebody_in,
        ),
        trial(
            "stripe::a_customer_pays_with_stripe",
            stripe::a_customer_pays_with_stripe,
        ),
        trial(
            "mistakes::a_port_in_use_is_told_in_one_sentence",
            mistakes::a_port_in_use_is_told_in_one_sentence,
        ),
        trial(
            "mistakes::data_in_use_is_told_in_one_sentence",
            mistakes::data_in_use_is_told_in_one_sentence,
        ),
        trial(
            "mistakes::an_unusable_folder_is_told_in_one_sentence",
            mistakes::an_unusable_folder_is_told_in_one_sentence,
        ),
        trial(
            "life::ctrl_c_leaves_nothing_behind",
            life::ctrl_c_leaves_nothing_behind,
        ),
        trial(
            "life::a_second_start_keeps_the_data",
            life::a_second_start_keeps_the_data,
        ),
        trial(
            "stories::each_request_is_one_short_line_of_log",
            stories::each_request_is_one_short_line_of_log,
        ),
        trial(
            "life::a_killed_cargo_dev_is_cleaned_up_by_the_next",
            life::a_killed_cargo_dev_is_cleaned_up_by_the_next,
        ),
    ];
    let conclusion = libtest_mimic::run(&arguments, trials);
    bundle.stop();
    conclusion.exit_code()
}
