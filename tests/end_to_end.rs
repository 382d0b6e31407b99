//! What a user would name, a file each, over real sockets: most of it against the real binary with real peers. One binary, so
//! that the harness is compiled once and tests that wait do so side by side; `cargo test --test end_to_end keys::` runs a file.

mod support;

mod answered_call;
mod api;
mod carriers;
mod check;
mod codecs;
mod conference;
mod crash;
mod defence;
mod desk_phone;
mod destinations;
mod dialogs;
mod edge_proxy;
mod field;
mod full_disk;
mod harness;
mod home_nat;
mod keys;
mod limits;
mod load;
mod media_plane;
mod missed_calls;
mod packet_times;
mod phones;
mod providers;
mod quality;
mod real_provider;
mod recording;
mod recording_through;
mod reload;
mod secure_media;
mod storm;
mod strictness;
mod subscriptions;
mod supervisor;
mod tls;
mod transfers;
mod transports;
mod trunks;
mod two_switches;
mod vanished_phone;
mod waiting_line;
mod webhooks;
