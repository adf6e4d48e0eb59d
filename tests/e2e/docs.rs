//! The pages of the documentation, in a browser.

use crate::browser::Browser;
use crate::bundle::{Bundle, EMAIL, PASSWORD};

pub(crate) fn swagger_ui_logs_in_and_sends_a_request(bundle: &Bundle) {
    let Some(browser) = Browser::open() else {
        println!("left out: there is no Chromium with its driver here");
        return;
    };
    browser.go(&bundle.url("/docs"));
    let operations = operations(bundle);
    browser.wait_for(&format!(
        "document.querySelectorAll('.opblock').length == {operations}"
    ));
    browser.screenshot("docs");

    browser.click(".auth-wrapper .authorize");
    browser.type_into("#oauth_username", EMAIL);
    browser.type_into("#oauth_password", PASSWORD);
    browser.screenshot("docs-login");
    // The form around the name, among those of other ways to log in.
    browser.run(
        "document.querySelector('#oauth_username').closest('.auth-container')
             .querySelector('.auth-btn-wrapper .authorize').click()",
    );
    browser.wait_for("document.querySelector('.modal-ux').innerText.includes('Logout')");
    browser.screenshot("docs-logged-in");
    browser.click(".modal-ux .btn-done");

    browser.click("#operations-users-get_me .opblock-summary-control");
    browser.click("#operations-users-get_me .try-out__btn");
    browser.click("#operations-users-get_me .execute");
    let answer = "#operations-users-get_me .live-responses-table";
    browser.wait_for(&format!("document.querySelector('{answer}')"));
    browser.run(&format!(
        "document.querySelector('{answer}').scrollIntoView()"
    ));
    browser.screenshot("docs-answer");
    let status =
        format!("document.querySelector('{answer} .response .response-col_status').innerText");
    browser.wait_for(&format!("{status}.trim().startsWith('200')"));
    browser.wait_for(&format!(
        "document.querySelector('{answer}').innerText.includes('\"email\": \"{EMAIL}\"')"
    ));
    stayed_at_home(&browser, bundle);
}

pub(crate) fn redoc_shows_every_operation(bundle: &Bundle) {
    let Some(browser) = Browser::open() else {
        println!("left out: there is no Chromium with its driver here");
        return;
    };
    browser.go(&bundle.url("/redoc"));
    let operations = operations(bundle);
    browser.wait_for(&format!(
        "document.querySelectorAll('[id^=\"operation/\"]').length == {operations}"
    ));
    browser.screenshot("redoc");
    browser.go(&bundle.url("/redoc#operation/place_order"));
    browser.wait_for("document.querySelector('[id=\"operation/place_order\"]')");
    browser.screenshot("redoc-operation");
    stayed_at_home(&browser, bundle);
}

/// How many there are to be shown.
fn operations(bundle: &Bundle) -> usize {
    let document = bundle.get("/openapi.json", None).expect(200);
    let items = document["paths"].as_object().unwrap().values();
    items.map(|item| item.as_object().unwrap().len()).sum()
}

/// Asserts that the page has asked nobody else for anything, and that the browser has refused it nothing.
fn stayed_at_home(browser: &Browser, bundle: &Bundle) {
    let requests = browser.requests();
    assert!(requests.len() >= 5, "{requests:?}");
    for request in requests {
        let here = [bundle.url("/"), "data:".to_owned(), "blob:".to_owned()];
        let is_here = here.iter().any(|start| request.starts_with(start));
        assert!(is_here, "{request}");
    }
    let warnings = browser.warnings();
    assert!(warnings.is_empty(), "{warnings:?}");
}
