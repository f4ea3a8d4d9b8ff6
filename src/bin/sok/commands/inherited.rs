//! Inherited sockets as addresses: `fd:3`, `fd:NAME`.

use std::fmt;

use sok::address::{DescriptorName, Target};
use sok::client::{ConnectPlan, GivenConnection};
use sok::error::{Error, ErrorKind, Result};
use sok::net::{ConnectOptions, InheritedSocket, is_open, keep_on_exec};

/// What a word of the command line stands for.
#[derive(Debug)]
pub(crate) enum Named {
    /// What has to be resolved, bound or connected to.
    Target(Target),
    /// Inherited sockets, at least one.
    Sockets(Vec<InheritedSocket>),
}

/// A descriptor that an option names by its number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbered {
    option: &'static str,
    number: i32,
}

impl Numbered {
    pub(crate) const fn new(option: &'static str, number: i32) -> Self {
        Self { option, number }
    }

    /// Has programs inherit it: sockets of `LISTEN_FDS` that are found by name are all closed on exec.
    pub(crate) fn keep_on_exec(&self) -> Result<()> {
        let kept = keep_on_exec(self.number);
        kept.map_err(|error| Error::new("inherit", self, error))
    }

    fn refused(&self, cause: impl Into<String>) -> Error {
        Error::because("inherit", self, ErrorKind::Usage, cause)
    }
}

impl fmt::Display for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.option, self.number)
    }
}

/// Takes the inherited sockets that `targets` name, and leaves the other targets. Checks that the
/// descriptors of `options` are open, and are others. Only before this process opens files.
pub(crate) fn take<'a>(
    targets: Vec<Target>,
    options: impl IntoIterator<Item = &'a Numbered>,
) -> Result<Vec<Named>> {
    let options: Vec<&Numbered> = options.into_iter().collect();
    for (place, option) in options.iter().enumerate() {
        let number = option.number;
        if !is_open(number) {
            let hint = format!("open it for sok, as with {number}<>FILE in a shell");
            return Err(option.refused("it is not open").with_hint(hint));
        }
        let mut others = options[..place].iter();
        if let Some(other) =
            others.find(|other| other.number == number && other.option != option.option)
        {
            return Err(option.refused(format!("the same descriptor as {other}")));
        }
    }
    let names: Vec<&DescriptorName> = targets.iter().filter_map(Target::as_inherited).collect();
    let taken = InheritedSocket::take_all(&names)?;
    for socket in taken.iter().flatten() {
        if let Some(option) = options.iter().find(|one| one.number == socket.number()) {
            return Err(option.refused(format!("the same descriptor as {}", socket.name())));
        }
    }
    let mut taken = taken.into_iter();
    let each = targets.into_iter().map(|target| {
        let sockets = target.as_inherited().and_then(|_| taken.next());
        sockets.map_or(Named::Target(target), Named::Sockets)
    });
    Ok(each.collect())
}

/// What a server listens on.
#[derive(Debug, Default)]
pub(crate) struct ListenOn {
    /// What it binds.
    pub(crate) bound: Vec<Target>,
    /// What it has inherited.
    pub(crate) inherited: Vec<InheritedSocket>,
}

impl ListenOn {
    pub(crate) fn of(all: Vec<Named>) -> Self {
        let mut places = Self::default();
        for one in all {
            match one {
                Named::Target(target) => places.bound.push(target),
                Named::Sockets(sockets) => places.inherited.extend(sockets),
            }
        }
        places
    }

    /// Whether nothing listens: all that there is are connections.
    pub(crate) fn is_one_connection(&self) -> bool {
        let mut inherited = self.inherited.iter();
        self.bound.is_empty() && inherited.all(InheritedSocket::is_one_connection)
    }

    pub(crate) fn len(&self) -> usize {
        self.bound.len() + self.inherited.len()
    }

    /// The targets, an inherited socket as its own address: family and type are known.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let inherited = self.inherited.iter();
        let own = inherited.map(|socket| Target::from(socket.local_addr().clone()));
        self.bound.iter().cloned().chain(own).collect()
    }

    /// Refuses the first of `options` that is given, if there is nothing to bind.
    pub(crate) fn refuse_if_inherited(&self, options: &[(&str, bool)]) -> Result<()> {
        match self.inherited.first() {
            Some(socket) if self.bound.is_empty() => refuse("listen", socket.name(), options),
            _ => Ok(()),
        }
    }
}

/// What a client connects to.
#[derive(Debug)]
pub(crate) struct Dialled {
    /// The targets, an inherited connection as the address of its peer: family and type are known.
    targets: Vec<Target>,
    /// The connection, if it is inherited: then there is one target.
    given: Option<InheritedSocket>,
}

impl Dialled {
    /// Takes the connection of `target`, if it is inherited.
    pub(crate) fn take(target: Target) -> Result<Self> {
        Self::of(take(vec![target], [])?)
    }

    /// The same for words that were taken with others.
    pub(crate) fn of(all: Vec<Named>) -> Result<Self> {
        let count = all.len();
        let (mut targets, mut given) = (Vec::new(), None);
        for named in all {
            match named {
                Named::Target(target) => targets.push(target),
                Named::Sockets(sockets) => given = Some(only(sockets, count)?),
            }
        }
        if let Some(socket) = &given {
            let address = socket.peer_addr().unwrap_or_else(|| socket.local_addr());
            targets.push(address.clone().into());
        }
        Ok(Self { targets, given })
    }

    /// The targets, an inherited connection as the address of its peer: family and type are known.
    pub(crate) fn targets(&self) -> Vec<Target> {
        self.targets.clone()
    }

    /// The first target.
    pub(crate) fn target(&self) -> &Target {
        &self.targets[0]
    }

    /// The inherited connection.
    pub(crate) const fn given(&self) -> Option<&InheritedSocket> {
        self.given.as_ref()
    }

    /// The targets, unless the connection is inherited.
    pub(crate) fn to_make(&self) -> impl Iterator<Item = &Target> {
        let made = self.given.is_none().then_some(&self.targets);
        made.into_iter().flatten()
    }

    /// Refuses the first of `options` that is given, if the connection is inherited.
    pub(crate) fn refuse_if_inherited(&self, options: &[(&str, bool)]) -> Result<()> {
        match &self.given {
            Some(socket) => refuse("connect", socket.name(), options),
            None => Ok(()),
        }
    }

    /// Has `plan` use the connection, if it is inherited; `options` are those that would prepare
    /// another one.
    pub(crate) fn give(self, plan: &mut ConnectPlan, options: &[(&str, bool)]) -> Result<()> {
        self.refuse_if_inherited(options)?;
        let Some(socket) = self.given else {
            return Ok(());
        };
        let mut of_connection = ConnectOptions::default();
        of_connection.keepalive = plan.keepalive;
        of_connection.congestion = plan.congestion.clone();
        of_connection.refuse_descriptors = plan.refuse_descriptors;
        let (stream, address) = socket.into_stream(&of_connection)?;
        plan.given = Some(GivenConnection::new(stream, address));
        Ok(())
    }
}

/// The connection of a client that has `count` targets.
fn only(mut sockets: Vec<InheritedSocket>, count: usize) -> Result<InheritedSocket> {
    let socket = sockets.remove(0);
    let usage = |cause: String, hint: &str| {
        let error = Error::because("connect", socket.name(), ErrorKind::Usage, cause);
        Err(error.with_hint(hint))
    };
    if !sockets.is_empty() {
        let count = sockets.len() + 1;
        let cause = format!("{count} sockets have this name, and a client takes one");
        return usage(cause, "give its number, as in fd:3");
    }
    if count > 1 {
        let cause = "an inherited connection can only be the one target".to_owned();
        return usage(cause, "omit the others, or give the address of this one");
    }
    Ok(socket)
}

/// Refuses an inherited socket on a standard stream that the command uses itself, one of `numbers`.
pub(crate) fn refuse_own_streams(
    operation: &'static str,
    target: &Target,
    numbers: &[i32],
) -> Result<()> {
    let Some(DescriptorName::Number(number)) = target.as_inherited() else {
        return Ok(());
    };
    if !numbers.contains(number) {
        return Ok(());
    }
    let stream = match number {
        0 => "standard input, which is sent",
        _ => "standard output, to which the answer goes",
    };
    let cause = format!("the socket cannot be the {stream}");
    let error = Error::because(operation, target, ErrorKind::Usage, cause);
    Err(error.with_hint("give it another number, as with 3<&0 in a shell"))
}

/// Refuses the first of `options` that is given: it prepares a socket, and this one is inherited.
fn refuse(operation: &'static str, name: &DescriptorName, options: &[(&str, bool)]) -> Result<()> {
    let Some((option, _)) = options.iter().find(|(_, is_given)| *is_given) else {
        return Ok(());
    };
    let cause = format!("{option} is for a socket that sok makes, and this one is inherited");
    let error = Error::because(operation, name, ErrorKind::Usage, cause);
    Err(error.with_hint("leave it out: whoever made the socket has decided"))
}
