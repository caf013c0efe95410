//! The WebSocket channel protocols of Kubernetes' remote commands: each message starts with the number of the
//! stream it belongs to.
//!
//! Reference: k8s.io/apimachinery `pkg/util/remotecommand` (names and versions of the protocols), and
//! KEP-4006 (version 5, whose message `[255, channel]` closes one stream).

use axum::extract::ws::Message;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

/// The stream numbers of exec and attach.
pub(super) const STDIN: u8 = 0;
pub(super) const STDOUT: u8 = 1;
pub(super) const STDERR: u8 = 2;
pub(super) const ERROR: u8 = 3;
pub(super) const RESIZE: u8 = 4;

/// In version 5, a message to this channel closes the channel that its second byte names.
const CLOSE: u8 = 255;

/// A protocol that client and server agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Protocol {
    version: u8,
    base64: bool,
}

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// Bytes for a stream.
    Data { channel: u8, bytes: Bytes },
    /// The client will send no more on this stream.
    Closed { channel: u8 },
    /// A frame of the WebSocket itself, or one too short to mean anything.
    Nothing,
}

impl Protocol {
    /// The protocols this server speaks, best first.
    pub(super) const NAMES: [&str; 5] = [
        "v5.channel.k8s.io",
        "v4.channel.k8s.io",
        "v4.base64.channel.k8s.io",
        "channel.k8s.io",
        "base64.channel.k8s.io",
    ];

    /// What a client means that names no protocol at all.
    pub(super) const UNNAMED: Protocol = Protocol { version: 1, base64: false };

    /// The protocol of this name.
    pub(super) fn named(name: &str) -> Option<Protocol> {
        Some(match name {
            "v5.channel.k8s.io" => Protocol { version: 5, base64: false },
            "v4.channel.k8s.io" => Protocol { version: 4, base64: false },
            "v4.base64.channel.k8s.io" => Protocol { version: 4, base64: true },
            "channel.k8s.io" => Protocol { version: 1, base64: false },
            "base64.channel.k8s.io" => Protocol { version: 1, base64: true },
            _ => return None,
        })
    }

    /// Whether the outcome on the error channel is a `metav1.Status` in JSON; before version 4 it is plain text.
    pub(super) fn has_status(self) -> bool {
        self.version >= 4
    }

    /// The message that carries `bytes` on `channel`.
    pub(super) fn encode(self, channel: u8, bytes: &[u8]) -> Message {
        if self.base64 {
            let mut text = String::with_capacity(1 + bytes.len().div_ceil(3) * 4);
            text.push(char::from(b'0'.saturating_add(channel)));
            BASE64.encode_string(bytes, &mut text);
            Message::Text(text.into())
        } else {
            let mut frame = Vec::with_capacity(1 + bytes.len());
            frame.push(channel);
            frame.extend_from_slice(bytes);
            Message::Binary(frame.into())
        }
    }

    /// What `message` says; the error names the fault of the client.
    pub(super) fn decode(self, message: Message) -> Result<Incoming, &'static str> {
        match message {
            Message::Binary(frame) if !self.base64 => Ok(self.decode_binary(&frame)),
            Message::Text(text) if self.base64 => decode_base64(text.as_str()),
            Message::Text(text) => Ok(self.decode_binary(&Bytes::from(text))),
            Message::Binary(_) => Err("a binary message in a base64 protocol"),
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Ok(Incoming::Nothing),
        }
    }

    fn decode_binary(self, frame: &Bytes) -> Incoming {
        match frame.first() {
            None => Incoming::Nothing,
            Some(&CLOSE) if self.version >= 5 => match frame.get(1) {
                Some(&channel) => Incoming::Closed { channel },
                None => Incoming::Nothing,
            },
            Some(&channel) => Incoming::Data { channel, bytes: frame.slice(1..) },
        }
    }
}

fn decode_base64(text: &str) -> Result<Incoming, &'static str> {
    let Some(&first) = text.as_bytes().first() else {
        return Ok(Incoming::Nothing);
    };
    // Beyond nine the digits go on with the characters that follow in ASCII, as in Kubernetes' `wsstream`.
    let Some(channel) = first.checked_sub(b'0') else {
        return Err("a message that does not begin with a channel number");
    };
    match BASE64.decode(&text.as_bytes()[1..]) {
        Ok(bytes) => Ok(Incoming::Data { channel, bytes: bytes.into() }),
        Err(_) => Err("a message that is not base64"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_offered_name_is_understood() {
        for name in Protocol::NAMES {
            assert!(Protocol::named(name).is_some(), "{name}");
        }
        assert_eq!(Protocol::named("v6.channel.k8s.io"), None);
    }

    #[test]
    fn bytes_survive_both_encodings() {
        let payload: Vec<u8> = (0..=255).collect();
        for name in Protocol::NAMES {
            let protocol = Protocol::named(name).unwrap();
            let decoded = protocol.decode(protocol.encode(STDOUT, &payload)).unwrap();
            assert_eq!(decoded, Incoming::Data { channel: STDOUT, bytes: payload.clone().into() }, "{name}");
        }
    }

    #[test]
    fn only_version_five_closes_a_stream() {
        let close = || Message::Binary(vec![255, STDIN].into());
        let v5 = Protocol::named("v5.channel.k8s.io").unwrap();
        let v4 = Protocol::named("v4.channel.k8s.io").unwrap();

        assert_eq!(v5.decode(close()).unwrap(), Incoming::Closed { channel: STDIN });
        assert!(matches!(v4.decode(close()).unwrap(), Incoming::Data { channel: 255, .. }));
    }

    #[test]
    fn faulty_messages_are_named_or_ignored() {
        let base64 = Protocol::named("v4.base64.channel.k8s.io").unwrap();
        let v5 = Protocol::named("v5.channel.k8s.io").unwrap();

        assert!(base64.decode(Message::Text("0***".into())).is_err());
        assert!(base64.decode(Message::Text("#AAAA".into())).is_err());
        assert!(base64.decode(Message::Binary(vec![0].into())).is_err());
        assert_eq!(v5.decode(Message::Binary(vec![].into())).unwrap(), Incoming::Nothing);
        assert_eq!(v5.decode(Message::Binary(vec![255].into())).unwrap(), Incoming::Nothing);
    }
}
