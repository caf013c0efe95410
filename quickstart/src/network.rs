//! The verb that talks to another host.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;

use crate::Outcome;
use crate::arguments::Arguments;

/// `connect HOST PORT`: sends all of stdin, then prints all of the answer.
pub(crate) fn connect(arguments: &Arguments) -> Outcome {
    let (host, port) = (arguments.word(0, "HOST")?, arguments.word(1, "PORT")?);
    let port: u16 = port.parse().map_err(|_| format!("PORT {port} is not a port"))?;
    let failed = |error: io::Error| format!("{host} port {port}: {error}");
    let mut stream = TcpStream::connect((host, port)).map_err(failed)?;
    io::copy(&mut io::stdin(), &mut stream).map_err(failed)?;
    stream.shutdown(Shutdown::Write).map_err(failed)?;
    io::copy(&mut stream, &mut io::stdout()).map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}
