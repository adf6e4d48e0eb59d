//! Counts what a request costs: DynamoDB round trips and capacity units.
//!
//! An SDK interceptor asks for the consumed capacity of every call and adds it to the [`Usage`] of the
//! request that runs, so no store method can forget to. A retry counts as a round trip of its own.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::operation as op;
use aws_sdk_dynamodb::types::{ConsumedCapacity, ReturnConsumedCapacity};
use aws_smithy_runtime_api::client::interceptors::context::{
    AfterDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextMut,
    BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

tokio::task_local! {
    static USAGE: Arc<Usage>;
}

/// What one request has used so far.
#[derive(Debug, Default)]
pub struct Usage {
    round_trips: AtomicU32,
    // Units come in halves; they are kept as tenths, so that adding is atomic.
    read_tenths: AtomicU64,
    write_tenths: AtomicU64,
}

impl Usage {
    pub fn round_trips(&self) -> u32 {
        self.round_trips.load(Ordering::Relaxed)
    }

    fn add(&self, part: &Self) {
        let add = |to: &AtomicU64, from: &AtomicU64| {
            to.fetch_add(from.load(Ordering::Relaxed), Ordering::Relaxed);
        };
        self.round_trips
            .fetch_add(part.round_trips(), Ordering::Relaxed);
        add(&self.read_tenths, &part.read_tenths);
        add(&self.write_tenths, &part.write_tenths);
    }

    pub fn read_units(&self) -> f64 {
        self.read_tenths() as f64 / 10.0
    }

    pub fn write_units(&self) -> f64 {
        self.write_tenths() as f64 / 10.0
    }

    pub(crate) fn read_tenths(&self) -> u64 {
        self.read_tenths.load(Ordering::Relaxed)
    }

    pub(crate) fn write_tenths(&self) -> u64 {
        self.write_tenths.load(Ordering::Relaxed)
    }
}

/// Runs `work` and books what it uses on `usage`, and then on that of the work that this is a part of.
pub async fn metered<F: Future>(usage: Arc<Usage>, work: F) -> F::Output {
    let output = USAGE.scope(usage.clone(), work).await;
    let _ = USAGE.try_with(|whole| whole.add(&usage));
    output
}

/// The interceptor. It acts outside a request too, where there is no usage to book on.
#[derive(Debug)]
pub(super) struct Meter;

#[dyn_dispatch_hint]
impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "Meter"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let input = context.input_mut();
        macro_rules! ask {
            ($($module:ident :: $input:ident),+) => {
                $(if let Some(input) = input.downcast_mut::<op::$module::$input>() {
                    input.return_consumed_capacity = Some(ReturnConsumedCapacity::Total);
                    return Ok(());
                })+
            };
        }
        ask!(
            batch_get_item::BatchGetItemInput,
            get_item::GetItemInput,
            query::QueryInput,
            update_item::UpdateItemInput,
            transact_write_items::TransactWriteItemsInput,
            put_item::PutItemInput,
            delete_item::DeleteItemInput,
            batch_write_item::BatchWriteItemInput
        );
        Ok(())
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let _ = USAGE.try_with(|usage| usage.round_trips.fetch_add(1, Ordering::Relaxed));
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Ok(output) = context.output_or_error() else {
            return Ok(());
        };
        macro_rules! book {
            ($kind:ident: $($module:ident :: $output:ident),+) => {
                $(if let Some(output) = output.downcast_ref::<op::$module::$output>() {
                    book(Kind::$kind, output.consumed_capacity());
                    return Ok(());
                })+
            };
        }
        book!(Read: batch_get_item::BatchGetItemOutput, get_item::GetItemOutput, query::QueryOutput);
        book!(Write: update_item::UpdateItemOutput, transact_write_items::TransactWriteItemsOutput,
            put_item::PutItemOutput, delete_item::DeleteItemOutput, batch_write_item::BatchWriteItemOutput);
        Ok(())
    }
}

enum Kind {
    Read,
    Write,
}

fn book<'a>(kind: Kind, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
    let units = consumed
        .into_iter()
        .filter_map(ConsumedCapacity::capacity_units);
    let tenths = (units.sum::<f64>() * 10.0).round() as u64;
    let _ = USAGE.try_with(|usage| match kind {
        Kind::Read => usage.read_tenths.fetch_add(tenths, Ordering::Relaxed),
        Kind::Write => usage.write_tenths.fetch_add(tenths, Ordering::Relaxed),
    });
}
