//! The transfer engine between pairs of sockets: chunks of any size, tiny buffers, both orders of
//! half-close, by copy and by splice.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use sok::net::{Received, Stream};
use sok::transfer::{Engine, Passed, TransferFault, TransferOptions, transfer};
use tokio::runtime::{Builder, Runtime};

use crate::support::{assert_same, noise};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn options(engine: Engine, idle: Option<Duration>) -> TransferOptions<'static> {
    let mut options = TransferOptions::default();
    options.engine = engine;
    options.idle = idle;
    options
}

/// Socket buffers of a few KiB: the kernel doubles what is asked for, and has a minimum.
fn tighten(stream: &Stream) {
    let socket = socket2::SockRef::from(stream);
    socket.set_send_buffer_size(4096).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
}

/// Sends `chunks` one by one, then ends the sending half.
async fn send_chunks(stream: &Stream, chunks: &[Vec<u8>]) {
    for chunk in chunks {
        stream.send_all(chunk).await.unwrap();
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
}

/// All that comes until the end, by receives of `size` bytes.
async fn receive_all(stream: &Stream, size: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = vec![0; size];
    loop {
        match stream.receive(&mut buffer).await.unwrap() {
            Received::End => return all,
            received => all.extend_from_slice(&buffer[..received.count()]),
        }
    }
}

/// Which end says something first, and which end waits for the other's end before it does.
#[derive(Debug, Clone, Copy)]
enum Order {
    Together,
    NearFirst,
    FarFirst,
}

async fn passes_whole(
    engine: Engine,
    order: Order,
    tight: bool,
    sizes: [usize; 2],
    there: &[Vec<u8>],
    back: &[Vec<u8>],
) {
    let (client, near) = Stream::pair().unwrap();
    let (far, server) = Stream::pair().unwrap();
    if tight {
        [&client, &near, &far, &server]
            .into_iter()
            .for_each(tighten);
    }
    let mut passed = Passed::default();
    let talk = async {
        match order {
            Order::Together => {
                let ((), (), at_server, at_client) = tokio::join!(
                    send_chunks(&client, there),
                    send_chunks(&server, back),
                    receive_all(&server, sizes[0]),
                    receive_all(&client, sizes[1]),
                );
                (at_server, at_client)
            }
            Order::NearFirst => {
                let ((), at_server) =
                    tokio::join!(send_chunks(&client, there), receive_all(&server, sizes[0]));
                let ((), at_client) =
                    tokio::join!(send_chunks(&server, back), receive_all(&client, sizes[1]));
                (at_server, at_client)
            }
            Order::FarFirst => {
                let ((), at_client) =
                    tokio::join!(send_chunks(&server, back), receive_all(&client, sizes[1]));
                let ((), at_server) =
                    tokio::join!(send_chunks(&client, there), receive_all(&server, sizes[0]));
                (at_server, at_client)
            }
        }
    };
    let (moved, (at_server, at_client)) = tokio::join!(
        transfer(&near, &far, options(engine, None), |now| passed = now),
        talk
    );
    moved.unwrap();
    assert_same(&at_server, &there.concat());
    assert_same(&at_client, &back.concat());
    let counted = Passed {
        near_to_far: at_server.len() as u64,
        far_to_near: at_client.len() as u64,
    };
    assert_eq!(passed, counted);
}

fn chunks(count: usize, largest: usize) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let size = prop_oneof![1..200_usize, 1..=largest];
    vec((size, any::<u8>()), 0..count).prop_map(|sizes| {
        let chunk = |(size, first): (usize, u8)| {
            let mut bytes = noise(size);
            bytes[0] = first;
            bytes
        };
        sizes.into_iter().map(chunk).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sent_arrives_whole_and_in_order_both_ways(
        engine in prop_oneof![Just(Engine::Adaptive), Just(Engine::Copy)],
        order in prop_oneof![Just(Order::Together), Just(Order::NearFirst), Just(Order::FarFirst)],
        tight in any::<bool>(),
        sizes in [1..100_000_usize, 1..100_000_usize],
        there in chunks(12, 1 << 20),
        back in chunks(12, 1 << 20),
    ) {
        // A receive of a few bytes would make a mebibyte last for seconds.
        let sizes = sizes.map(|size| size.max(64));
        runtime().block_on(passes_whole(engine, order, tight, sizes, &there, &back));
    }
}

#[test]
fn a_stream_then_messages_then_a_stream_arrive_complete() {
    // Copy, splice, copy again and splice again in one direction.
    let mut there = vec![noise(8 << 20)];
    there.extend((0..500).map(|_| noise(100)));
    there.push(noise(8 << 20));
    let run = passes_whole(
        Engine::Adaptive,
        Order::Together,
        false,
        [65536; 2],
        &there,
        &there,
    );
    runtime().block_on(run);
}

#[test]
fn a_side_that_does_not_read_does_not_block_the_other_direction() {
    runtime().block_on(async {
        let (client, near) = Stream::pair().unwrap();
        let (far, server) = Stream::pair().unwrap();
        let much = noise(4 << 20);
        let talk = async {
            // The server sends much that the client does not read, and still hears the client.
            let stuck = async { send_chunks(&server, std::slice::from_ref(&much)).await };
            let heard = async {
                client.send_all(&much).await.unwrap();
                client.shutdown(std::net::Shutdown::Write).unwrap();
            };
            let ((), at_client, at_server) = tokio::join!(
                heard,
                async {
                    let at_server = receive_all(&server, 65536).await;
                    (receive_all(&client, 65536).await, at_server)
                },
                stuck
            );
            assert_same(&at_client.1, &much);
            assert_same(&at_client.0, &much);
            at_server
        };
        let (moved, ()) = tokio::join!(
            transfer(&near, &far, options(Engine::Adaptive, None), |_| {}),
            talk
        );
        moved.unwrap();
    });
}

#[test]
fn an_idle_transfer_times_out() {
    runtime().block_on(async {
        let (_client, near) = Stream::pair().unwrap();
        let (far, _server) = Stream::pair().unwrap();
        let limit = Duration::from_millis(20);
        let ended = transfer(&near, &far, options(Engine::Adaptive, Some(limit)), |_| {}).await;
        assert!(matches!(ended, Err(TransferFault::Idle(_))), "{ended:?}");
    });
}
