//! Several tasks may wait for one socket of the library: none of them is forgotten.

use std::future::Future;
use std::sync::Arc;

use sok::client::{ConnectPlan, connect};
use sok::net::{ListenOptions, Listener, Stream};
use tokio::runtime::Builder;
use tokio::task::{JoinHandle, yield_now};

use crate::support::{LIMIT, Place};

/// Runs it on one thread, where tasks run in their order; a hang is a failure.
fn run(body: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let done = runtime.block_on(async { tokio::time::timeout(LIMIT, body).await });
    done.expect("a task waits for ever");
}

fn listen(place: &Place) -> Listener {
    let word = place.word().parse().unwrap();
    Listener::bind(&word, &ListenOptions::default()).unwrap()
}

async fn client(listener: &Listener) -> Stream {
    let target = listener.local_addr().clone().into();
    let connected = connect(&target, &ConnectPlan::default()).await;
    connected.unwrap().0
}

async fn pair(place: &Place) -> (Arc<Stream>, Stream) {
    let listener = listen(place);
    let client = client(&listener).await;
    (Arc::new(client), listener.accept().await.unwrap().0)
}

families!(
    two_tasks_that_accept_on_one_listener_both_get_a_client,
    |place| {
        run(async {
            let listener = Arc::new(listen(place));
            let accepting = [(); 2].map(|()| {
                let listener = Arc::clone(&listener);
                tokio::spawn(async move { listener.accept().await.unwrap().0 })
            });
            // Both wait.
            yield_now().await;
            // Which of them gets which is open.
            let _clients = [client(&listener).await, client(&listener).await];
            for accepting in accepting {
                accepting.await.unwrap();
            }
        });
    }
);

/// Two tasks that both wait for a byte.
async fn two_receive(stream: &Arc<Stream>) -> [JoinHandle<usize>; 2] {
    let receiving = [(); 2].map(|()| {
        let stream = Arc::clone(stream);
        tokio::spawn(async move { stream.receive(&mut [0]).await.unwrap().count() })
    });
    yield_now().await;
    receiving
}

families!(
    two_tasks_that_receive_on_one_stream_both_get_bytes,
    |place| {
        run(async {
            let (stream, peer) = pair(place).await;
            let receiving = two_receive(&stream).await;
            peer.send_all(b"ab").await.unwrap();
            for receiving in receiving {
                assert_eq!(receiving.await.unwrap(), 1);
            }
        });
    }
);

families!(
    two_tasks_that_receive_on_one_stream_both_see_its_end,
    |place| {
        run(async {
            let (stream, peer) = pair(place).await;
            let receiving = two_receive(&stream).await;
            peer.shutdown(std::net::Shutdown::Write).unwrap();
            for receiving in receiving {
                assert_eq!(receiving.await.unwrap(), 0);
            }
        });
    }
);

families!(
    two_tasks_that_wait_for_bytes_to_arrive_both_see_them,
    |place| {
        run(async {
            let (stream, peer) = pair(place).await;
            let waiting = [1, 2].map(|count| {
                let stream = Arc::clone(&stream);
                tokio::spawn(async move { stream.arrived(count).await.unwrap() })
            });
            yield_now().await;
            peer.send_all(b"ab").await.unwrap();
            for (waiting, count) in waiting.into_iter().zip([1, 2]) {
                assert_eq!(waiting.await.unwrap(), count);
            }
        });
    }
);

families!(two_tasks_that_send_on_one_stream_both_end, |place| {
    const MUCH: usize = 4 << 20;
    run(async {
        let (stream, peer) = pair(place).await;
        let sending = [(); 2].map(|()| {
            let stream = Arc::clone(&stream);
            tokio::spawn(async move { stream.send_all(&vec![b'x'; MUCH]).await.unwrap() })
        });
        // Both have found no room.
        yield_now().await;
        let (mut left, mut buffer) = (2 * MUCH, vec![0; 1 << 16]);
        while left > 0 {
            left -= peer.receive(&mut buffer).await.unwrap().count();
        }
        for sending in sending {
            sending.await.unwrap();
        }
    });
});

families!(
    a_task_that_stops_waiting_passes_its_turn_to_the_next,
    |place| {
        const MUCH: usize = 4 << 20;
        run(async {
            let (stream, peer) = pair(place).await;
            let [first, second] = [(); 2].map(|()| {
                let stream = Arc::clone(&stream);
                tokio::spawn(async move { stream.send_all(&vec![b'x'; MUCH]).await.unwrap() })
            });
            yield_now().await;
            first.abort();
            assert!(first.await.is_err());
            let mut buffer = vec![0; 1 << 16];
            let receiving = async {
                loop {
                    let _ = peer.receive(&mut buffer).await.unwrap();
                }
            };
            tokio::select! {
                sent = second => sent.unwrap(),
                () = receiving => {}
            }
        });
    }
);
