//! Sockets that another program or library has made, taken over by their descriptors.

use std::fs::File;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use sok::client::{ConnectPlan, connect};
use sok::net::{ListenOptions, Listener, Stream};
use tokio::runtime::Builder;

use crate::support::{Kind, have};

fn copy(socket: &impl AsFd) -> OwnedFd {
    socket.as_fd().try_clone_to_owned().unwrap()
}

fn run(body: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(body);
}

families!(a_socket_is_taken_over_by_its_descriptor, |place| {
    run(async {
        let word = place.word().parse().unwrap();
        let bound = Listener::bind(&word, &ListenOptions::default()).unwrap();
        let listener = Listener::try_from(copy(&bound)).unwrap();

        let target = bound.local_addr().clone().into();
        let (client, _) = connect(&target, &ConnectPlan::default()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let client = Stream::try_from(copy(&client)).unwrap();
        assert_eq!(client.family(), bound.local_addr().family());

        client.send_all(b"hello").await.unwrap();
        let mut received = [0; 8];
        let count = server.receive(&mut received).await.unwrap().count();
        assert_eq!(&received[..count], b"hello");
    });
});

families!(a_listener_is_no_stream_and_a_stream_no_listener, |place| {
    run(async {
        let word = place.word().parse().unwrap();
        let listener = Listener::bind(&word, &ListenOptions::default()).unwrap();
        let refused = Stream::try_from(copy(&listener)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotConnected);

        let target = listener.local_addr().clone().into();
        let (client, _) = connect(&target, &ConnectPlan::default()).await.unwrap();
        let refused = Listener::try_from(copy(&client)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    });
});

#[test]
fn what_is_no_connection_is_refused() {
    if !have(Kind::Inet) {
        return;
    }
    run(async {
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        let refused = Stream::try_from(OwnedFd::from(datagrams)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotConnected);

        let family = AddressFamily::Netlink;
        let (kind, flags) = (SockType::Datagram, SockFlag::empty());
        let netlink = socket(family, kind, flags, SockProtocol::NetlinkRoute).unwrap();
        let refused = Stream::try_from(netlink).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);

        let file = File::open("/dev/null").unwrap();
        let refused = Listener::try_from(OwnedFd::from(file)).unwrap_err();
        assert_eq!(
            refused.raw_os_error(),
            Some(nix::errno::Errno::ENOTSOCK as i32)
        );
    });
}
