//! The verb that takes more memory than it may.

use std::process::ExitCode;
use std::time::Duration;

use crate::arguments::Arguments;
use crate::{Outcome, print, time};

const STEP_MIB: usize = 4;

/// `hog [--mib N]`: memory in small steps, so that one sees it grow. It ends at N MiB, for a container without a
/// limit must not take the machine down.
pub(crate) fn hog(arguments: &Arguments) -> Outcome {
    let most: usize = arguments.number("mib", 1024)?;
    let mut held = Vec::new();
    while held.len() * STEP_MIB < most {
        // Written to, because only then the kernel gives the page.
        held.push(vec![0xa5u8; STEP_MIB << 20]);
        std::hint::black_box(&held);
        print(&format!("holding {} MiB\n", held.len() * STEP_MIB))?;
        time::pause(Duration::from_millis(100));
    }
    print("nobody stopped me\n")?;
    Ok(ExitCode::SUCCESS)
}
