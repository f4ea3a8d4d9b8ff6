//! Answers that wait, as for a database: each connection waits for its own.

use std::future::Future;
use std::sync::Arc;

use sok::Address;
use sok::client::{ConnectPlan, connect};
use sok::loops::{
    Answer, Framing, Limits, MemoryLimit, MessageFormat, Reply, Stop, connection_loop,
};
use sok::net::{ListenOptions, Listener, Received, Stream};
use sok::service::AnswerService;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};

use crate::support::{LIMIT, Place};

/// A message, and the channel for its answer.
type Question = (Vec<u8>, oneshot::Sender<Vec<u8>>);

/// Asks the test.
struct Asks(mpsc::UnboundedSender<Question>);

impl Answer for Asks {
    async fn answer(&self, message: &[u8], reply: &mut Vec<u8>) -> Reply {
        let (tell, receiver) = oneshot::channel();
        self.0.send((message.to_vec(), tell)).unwrap();
        match receiver.await {
            // The message is still what it was.
            Ok(answer) => reply.extend([message, &answer].concat()),
            Err(_) => return Reply::Nothing,
        }
        Reply::Send
    }
}

/// A server on this thread that asks.
struct Asking {
    address: Address,
    memory: MemoryLimit,
    questions: mpsc::UnboundedReceiver<Question>,
}

impl Asking {
    fn start(place: &Place, memory: usize) -> Self {
        let word = place.word().parse().unwrap();
        let listener = Listener::bind(&word, &ListenOptions::default()).unwrap();
        let address = listener.local_addr().clone();
        let (ask, questions) = mpsc::unbounded_channel();
        let format = MessageFormat {
            framing: Framing::Line,
            ..MessageFormat::default()
        };
        let mut service = AnswerService::new(format, Asks(ask));
        service.memory = MemoryLimit::new(memory);
        let memory = service.memory.clone();
        let limits = Limits::default();
        tokio::spawn(connection_loop(
            vec![listener],
            service,
            limits,
            Stop::new(),
        ));
        Self {
            address,
            memory,
            questions,
        }
    }

    async fn client(&self) -> Stream {
        let target = self.address.clone().into();
        let connected = connect(&target, &ConnectPlan::default()).await;
        connected.unwrap().0
    }

    async fn question(&mut self, message: &str) -> oneshot::Sender<Vec<u8>> {
        let (asked, tell) = self.questions.recv().await.unwrap();
        assert_eq!(asked, message.as_bytes());
        tell
    }
}

async fn assert_comes(client: &Stream, reply: &str) {
    let mut buffer = vec![0; reply.len()];
    let mut count = 0;
    while count < reply.len() {
        match client.receive(&mut buffer[count..]).await.unwrap() {
            Received::End => break,
            more => count += more.count(),
        }
    }
    assert_eq!(&buffer[..count], reply.as_bytes());
}

fn run(body: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let done = runtime.block_on(async { tokio::time::timeout(LIMIT, body).await });
    done.expect("it waits for ever");
}

families!(an_answer_that_waits_delays_no_other_connection, |place| {
    run(async {
        let mut server = Asking::start(place, MemoryLimit::DEFAULT);
        let (first, second) = (server.client().await, server.client().await);
        first.send_all(b"one\n").await.unwrap();
        let tell_first = server.question("one").await;
        second.send_all(b"two\n").await.unwrap();
        let tell_second = server.question("two").await;
        // The second one is answered while the first still waits, and each has its own message.
        tell_second.send(b"!".to_vec()).unwrap();
        assert_comes(&second, "two!\n").await;
        tell_first.send(b"?".to_vec()).unwrap();
        assert_comes(&first, "one?\n").await;
    });
});

families!(an_answer_is_sent_before_the_next_one_waits, |place| {
    run(async {
        let mut server = Asking::start(place, MemoryLimit::DEFAULT);
        let client = server.client().await;
        client.send_all(b"one\ntwo\nthr").await.unwrap();
        let tell = server.question("one").await;
        tell.send(b"!".to_vec()).unwrap();
        let tell = server.question("two").await;
        assert_comes(&client, "one!\n").await;
        // Nothing is said to the second, and the third comes in two parts.
        drop(tell);
        client.send_all(b"ee\n").await.unwrap();
        let tell = server.question("three").await;
        tell.send(b"!".to_vec()).unwrap();
        assert_comes(&client, "three!\n").await;
    });
});

families!(
    a_message_that_waits_for_its_answer_counts_in_the_memory,
    |place| {
        run(async {
            let mut server = Asking::start(place, 10);
            let (first, second) = (server.client().await, server.client().await);
            first.send_all(b"12345678\n").await.unwrap();
            let tell = server.question("12345678").await;
            assert_eq!(server.memory.taken(), 9);
            second.send_all(b"12345678\n").await.unwrap();
            // There is no room for a second one, and only its connection ends.
            let ended = second.receive(&mut [0]).await;
            assert!(matches!(ended, Ok(Received::End) | Err(_)), "{ended:?}");
            tell.send(Vec::new()).unwrap();
            assert_comes(&first, "12345678\n").await;
        });
    }
);

families!(
    a_peer_that_does_not_read_gets_all_answers_that_waited,
    |place| {
        const MUCH: usize = 300 << 10;
        run(async {
            let mut server = Asking::start(place, MemoryLimit::DEFAULT);
            let client = Arc::new(server.client().await);
            let messages = b"m\n".repeat(40);
            client.send_all(&messages).await.unwrap();
            let reading = Arc::clone(&client);
            let answer = vec![b'x'; MUCH];
            let reply = format!("m{}\n", "x".repeat(MUCH));
            let all = tokio::spawn(async move { assert_comes(&reading, &reply.repeat(40)).await });
            for _ in 0..40 {
                server.question("m").await.send(answer.clone()).unwrap();
            }
            all.await.unwrap();
        });
    }
);
