//! Signals: CRI counts its own enumeration, the engine takes names or numbers and gives numbers.

use reeve_proto::cri::Signal;

use super::fault::Fault;

/// Linux's real-time signals as libc counts them (signal(7)): 34 to 64, after two that the threads library keeps.
const RT_FIRST: i32 = 34;

/// The engine's word for `signal`: empty for the image's own choice.
pub(crate) fn to_engine(signal: i32) -> Result<String, Fault> {
    let signal = Signal::try_from(signal)
        .map_err(|_| Fault::invalid("config.stop_signal", format!("{signal} is no signal of CRI")))?;
    Ok(match signal {
        Signal::RuntimeDefault => String::new(),
        realtime if realtime >= Signal::Sigrtmin => {
            (realtime as i32 - Signal::Sigrtmin as i32 + RT_FIRST).to_string()
        }
        named => named.as_str_name().trim_start_matches("SIGNAL_").to_owned(),
    })
}

/// CRI's word for the signal of this number.
pub(crate) fn to_cri(number: i32) -> Signal {
    if number >= RT_FIRST {
        let value = number - RT_FIRST + Signal::Sigrtmin as i32;
        return Signal::try_from(value).unwrap_or(Signal::RuntimeDefault);
    }
    nix::sys::signal::Signal::try_from(number)
        .ok()
        .and_then(|signal| Signal::from_str_name(&format!("SIGNAL_{}", signal.as_str())))
        .unwrap_or(Signal::RuntimeDefault)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_of_linux_survives_the_round_trip() {
        for signal in nix::sys::signal::Signal::iterator() {
            let cri = to_cri(signal as i32);
            assert_ne!(cri, Signal::RuntimeDefault, "{signal}");
            assert_eq!(to_engine(cri as i32).unwrap(), signal.as_str());
        }
    }

    #[test]
    fn real_time_signals_are_numbers() {
        assert_eq!(to_engine(Signal::Sigrtmin as i32).unwrap(), "34");
        assert_eq!(to_engine(Signal::Sigrtminplus3 as i32).unwrap(), "37");
        assert_eq!(to_engine(Signal::Sigrtmax as i32).unwrap(), "64");
        assert_eq!(to_cri(37), Signal::Sigrtminplus3);
        assert_eq!(to_cri(64), Signal::Sigrtmax);
    }

    #[test]
    fn the_default_is_left_to_the_image() {
        assert_eq!(to_engine(0).unwrap(), "");
        assert_eq!(to_cri(0), Signal::RuntimeDefault);
        assert!(to_engine(99).is_err());
    }
}
