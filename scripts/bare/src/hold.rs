//! Many connections that send one message and are then idle.

use std::io::{self, Read, Write};

use crate::{Result, address, say};

pub fn hold(text: &str, count: &str) -> Result<()> {
    address::raise_descriptor_limit()?;
    let mut held = Vec::new();
    for index in 0..count.parse()? {
        let mut socket = address::connect_as(text, index)?;
        // The echo shows that the server has accepted, and has served, this one.
        let mut message = [index as u8; 64];
        message[63] = b'\n';
        let mut reply = [0; 64];
        socket.write_all(&message)?;
        socket.read_exact(&mut reply)?;
        if reply != message {
            return Err("the echo differs from the message".into());
        }
        held.push(socket);
    }
    say("held")?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
