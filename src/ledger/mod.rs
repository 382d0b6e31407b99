//! What is accounted: identifiers, points in time, the call and leg records, results and causes, and the
//! types of the events that tell the outside.
//!
//! Nothing here stores, delivers or queries: `store`, `notify` and `api` do. The lowest module of floor 1;
//! every other module may use it and it uses none.

pub mod call;
pub mod cause;
pub mod clock;
pub mod entropy;
pub mod event;
pub mod id;
pub mod id_map;
pub mod journal;
pub mod leg;
pub mod quality;
pub mod recording;
pub mod wheel;
