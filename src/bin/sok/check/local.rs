//! The tests for local names: peer credentials, the length of a name, permissions, and descriptor
//! passing.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, geteuid, setfsuid};
use sok::address::{Address, SUN_PATH_MAX};
use sok::error::{Error, ErrorKind, Result};
use sok::net::{ConnectOptions, ListenOptions, Listener, Stream};
use sok::offload::offload;
use tokio::time::Instant;

use super::basics::exchange;
use super::scene::{Scene, Tried, broken, unexpected};

/// Each end learns that the other is this process.
pub(super) async fn credentials(scene: &Scene) -> Result<Tried> {
    let connection = scene.connection(&scene.fresh()).await?;
    let address = connection.listener.local_addr();
    let server = connection.client.peer_cred();
    let server = server.map_err(broken("getsockopt", address))?;
    for seen in [connection.peer.credentials, server] {
        let own = seen.is_some_and(|seen| {
            seen.pid.unsigned_abs() == std::process::id() && seen.uid == geteuid().as_raw()
        });
        if !own {
            return Err(unexpected(
                "getsockopt",
                address,
                format!("the peer is {seen:?}"),
            ));
        }
    }
    Ok(Tried::WORKS)
}

/// A name that fills `sun_path`, and a path that is longer.
pub(super) async fn long_name(scene: &Scene) -> Result<Tried> {
    let directory = match scene.has_files() {
        true => scene.directory()?,
        false => Path::new(""),
    };
    let mut lengths = Vec::new();
    if let Some(address) = scene.kind.padded(directory, &scene.name(), SUN_PATH_MAX) {
        exchange(&scene.connection(&address).await?).await?;
        lengths.push(format!("{SUN_PATH_MAX} bytes"));
    }
    if scene.has_files() {
        let (deep, name) = (directory.join("d".repeat(200)), scene.name());
        let longer = scene.kind.fresh(&deep, &name);
        fs::create_dir(&deep).map_err(broken("create the directory of", &longer))?;
        let connection = scene.connection(&longer).await;
        let hint = format!("mount /proc, or keep paths to {SUN_PATH_MAX} bytes");
        exchange(&connection.map_err(|error| error.with_hint(hint))?).await?;
        let length = deep.join(name).as_os_str().len();
        lengths.push(format!("{length} bytes, through its directory"));
    }
    Ok(Tried::found(lengths.join(", ")))
}

/// The unprivileged user, by number, as its name differs between hosts.
const NOBODY: u32 = 65534;

/// A user without write permission on a socket file cannot connect.
pub(super) async fn mode(scene: &Scene) -> Result<Tried> {
    let directory = scene.directory()?;
    let (open, closed) = (listen_with(scene, 0o666)?, listen_with(scene, 0o000)?);
    match scene.dial(closed.local_addr()).await {
        Err(error) if error.kind() == ErrorKind::Denied => {
            scene.dial(open.local_addr()).await?;
            return Ok(Tried::found("for this process"));
        }
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    // Modes do not apply to this process, so it tries as another user.
    let failed = broken("set the mode of", closed.local_addr());
    fs::set_permissions(directory, Permissions::from_mode(0o711)).map_err(&failed)?;
    let secret = directory.join("secret");
    File::create(&secret).map_err(&failed)?;
    fs::set_permissions(&secret, Permissions::from_mode(0o000)).map_err(&failed)?;
    let question = Question {
        secret,
        open: open.local_addr().clone(),
        closed: closed.local_addr().clone(),
        deadline: scene.deadline(),
    };
    match question.ask_as(NOBODY).await? {
        Asked::NotBound => Ok(Tried::Not(
            "file modes do not apply to this process, and it cannot drop that privilege".to_owned(),
        )),
        Asked::Shut(error) => Ok(Tried::Not(format!(
            "uid {NOBODY} cannot reach the files of {} ({})",
            directory.display(),
            error.cause()
        ))),
        Asked::Refused => Ok(Tried::found(format!("for uid {NOBODY}"))),
        Asked::Taken => {
            let what = format!("uid {NOBODY} could connect despite mode 000");
            Err(unexpected("connect", closed.local_addr(), what))
        }
        Asked::Failed(error) => Err(error),
    }
}

fn listen_with(scene: &Scene, mode: u32) -> Result<Listener> {
    let mut options = ListenOptions::default();
    options.mode = mode;
    Listener::bind(&scene.fresh(), &options)
}

/// The test for an unprivileged user.
struct Question {
    /// A file that no other user may read.
    secret: PathBuf,
    /// A socket that every user may connect to.
    open: Address,
    /// A socket that no user may connect to.
    closed: Address,
    deadline: Instant,
}

enum Asked {
    /// File modes do not apply even then.
    NotBound,
    /// The open socket refused the connection.
    Shut(Error),
    /// The closed socket refused the connection, because of its mode.
    Refused,
    /// The closed socket accepted the connection.
    Taken,
    Failed(Error),
}

impl Question {
    /// Runs it on a thread that accesses files as another user, see `setfsuid(2)`: a property of
    /// the thread, which also drops root's privileges for files.
    async fn ask_as(self, user: u32) -> Result<Asked> {
        let open = self.open.clone();
        let asking = move || {
            setfsuid(Uid::from_raw(user));
            self.ask()
        };
        offload("connect", open, asking).await?
    }

    fn ask(self) -> Result<Asked> {
        if File::open(&self.secret).is_ok() {
            return Ok(Asked::NotBound);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| Error::new("start", "the event loop", error))?;
        let mut options = ConnectOptions::default();
        options.bind = None;
        options.deadline = Some(self.deadline);
        runtime.block_on(async {
            if let Err(error) = Stream::connect(&self.open, &options).await {
                return Ok(Asked::Shut(error));
            }
            Ok(match Stream::connect(&self.closed, &options).await {
                Ok(_) => Asked::Taken,
                Err(error) if error.kind() == ErrorKind::Denied => Asked::Refused,
                Err(error) => Asked::Failed(error),
            })
        })
    }
}

/// Passes the writing end of a pipe over the connection, and checks that its data arrives here.
pub(super) async fn descriptors(scene: &Scene) -> Result<Tried> {
    let connection = scene.connection(&scene.fresh()).await?;
    let failed = broken("pass a descriptor over", connection.listener.local_addr());
    let (mut reader, writer) = io::pipe().map_err(&failed)?;
    let sent = connection.client.send_descriptor(writer.as_fd()).await;
    sent.map_err(&failed)?;
    drop(writer);
    let received = connection.server.receive_descriptor().await;
    let Some(received) = received.map_err(&failed)? else {
        return Err(unexpected(
            "recvmsg",
            connection.listener.local_addr(),
            "no descriptor arrived".to_owned(),
        ));
    };
    File::from(received).write_all(b"passed").map_err(&failed)?;
    let mut text = String::new();
    reader.read_to_string(&mut text).map_err(&failed)?;
    match text.as_str() {
        "passed" => Ok(Tried::WORKS),
        _ => Err(unexpected(
            "recvmsg",
            connection.listener.local_addr(),
            "a different file arrived".to_owned(),
        )),
    }
}
