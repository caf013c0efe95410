//! Device rules on cgroup v2: a small BPF program of our own, bpf(2), `BPF_PROG_TYPE_CGROUP_DEVICE`.
//!
//! The program sees `struct bpf_cgroup_dev_ctx` (type and access in one word, major, minor) and returns 1 to allow. The
//! last rule that matches decides, so that the rules are laid out from the last to the first. Rules that take only
//! some of the accesses are split by access, since one request may ask for several at once: each access asked for has
//! its own verdict, and the request passes when none is refused.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::devices::{Kind, Rule};
use super::failed;
use crate::Error;
use crate::sys::{check, check_fd};

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_DETACH: libc::c_long = 9;
const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;
const BPF_PROG_QUERY: libc::c_long = 16;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// `BPF_DEVCG_DEV_*` and `BPF_DEVCG_ACC_*` of linux/bpf.h.
const DEV_BLOCK: i32 = 1;
const DEV_CHAR: i32 = 2;
type Takes = fn(&Rule) -> bool;
const ACCESSES: [(i32, Takes); 3] =
    [(1, |rule| rule.access.mknod), (2, |rule| rule.access.read), (4, |rule| rule.access.write)];

/// `struct bpf_insn` of linux/bpf.h.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: destination | source << 4, offset, immediate }
}

/// r = *(u32 *)(r1 + offset)
const fn load(register: u8, offset: i16) -> Instruction {
    instruction(0x61, register, 1, offset, 0)
}

/// r &= immediate (32 bits)
const fn and(register: u8, immediate: i32) -> Instruction {
    instruction(0x54, register, 0, 0, immediate)
}

/// r = other (32 bits)
const fn copy(register: u8, other: u8) -> Instruction {
    instruction(0xbc, register, other, 0, 0)
}

/// r >>= immediate (32 bits)
const fn shift(register: u8, immediate: i32) -> Instruction {
    instruction(0x74, register, 0, 0, immediate)
}

/// if r != immediate goto +offset (32 bits)
const fn unless_equal(register: u8, immediate: i32, offset: i16) -> Instruction {
    instruction(0x56, register, 0, offset, immediate)
}

/// if r == immediate goto +offset (32 bits)
const fn if_equal(register: u8, immediate: i32, offset: i16) -> Instruction {
    instruction(0x16, register, 0, offset, immediate)
}

/// goto +offset
const fn jump(offset: i16) -> Instruction {
    instruction(0x05, 0, 0, offset, 0)
}

/// r0 = value
const fn verdict(value: i32) -> Instruction {
    instruction(0xb4, 0, 0, 0, value)
}

const EXIT: Instruction = instruction(0x95, 0, 0, 0, 0);

/// The program for `rules`: r2 type, r3 accesses, r4 major, r5 minor.
fn assemble(rules: &[Rule]) -> Vec<Instruction> {
    let mut program = vec![load(2, 0), copy(3, 2), shift(3, 16), and(2, 0xffff), load(4, 4), load(5, 8)];
    for (bit, takes) in ACCESSES {
        let mut body = Vec::new();
        let mut decided = false;
        for rule in rules.iter().rev().filter(|rule| takes(rule)) {
            let tests = tests(rule);
            let sentence = if rule.allow { 0 } else { 1 };
            // An allowing rule jumps to the end of this access' block: patched below as offset -1.
            let action: &[Instruction] = if sentence == 0 { &[jump(-1)] } else { &[verdict(0), EXIT] };
            let length = tests.len();
            for (index, (register, value)) in tests.into_iter().enumerate() {
                let skip = length - index - 1 + action.len();
                body.push(unless_equal(register, value, skip as i16));
            }
            body.extend_from_slice(action);
            if length == 0 {
                // The rules before this one can no longer matter.
                decided = true;
                break;
            }
        }
        if !decided {
            body.extend([verdict(0), EXIT]);
        }
        let end = body.len();
        for (index, one) in body.iter_mut().enumerate() {
            if *one == jump(-1) {
                *one = jump((end - index - 1) as i16);
            }
        }
        program.extend([copy(0, 3), and(0, bit), if_equal(0, 0, end as i16)]);
        program.append(&mut body);
    }
    program.extend([verdict(1), EXIT]);
    program
}

/// What has to be equal for the rule to match.
fn tests(rule: &Rule) -> Vec<(u8, i32)> {
    let kind = match rule.kind {
        Kind::All => None,
        Kind::Block => Some(DEV_BLOCK),
        Kind::Char => Some(DEV_CHAR),
    };
    let numbers = [(2, kind), (4, rule.major.map(|n| n as i32)), (5, rule.minor.map(|n| n as i32))];
    numbers.into_iter().filter_map(|(register, value)| Some((register, value?))).collect()
}

/// The attributes of `BPF_PROG_LOAD`, as far as they are used.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// The attributes of `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`.
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// The attributes of `BPF_PROG_QUERY`.
#[repr(C)]
struct Query {
    target: u32,
    kind: u32,
    flags: u32,
    attached_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: every structure passed is the start of the kernel's union bpf_attr for its command, of the size given,
    // and the pointers in it outlive the call.
    check(unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) })
}

/// Attaches a program for `rules` to the cgroup `directory` and detaches those that were there before.
pub(super) fn replace(directory: &Path, rules: &[Rule]) -> Result<(), Error> {
    let during = |error: io::Error| failed(directory, format!("device rules: {error}"));
    let cgroup = File::open(directory).map_err(during)?;
    let before = attached(cgroup.as_fd()).map_err(during)?;
    let program = load_program(&assemble(rules)).map_err(during)?;
    let mut attributes = Attach {
        target: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    bpf(BPF_PROG_ATTACH, &mut attributes).map_err(during)?;
    for old in before {
        attributes.program = old.as_raw_fd() as u32;
        attributes.flags = 0;
        bpf(BPF_PROG_DETACH, &mut attributes).map_err(during)?;
    }
    Ok(())
}

fn load_program(instructions: &[Instruction]) -> io::Result<OwnedFd> {
    let mut attributes = Load {
        kind: PROG_TYPE_CGROUP_DEVICE,
        count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    let result = bpf(BPF_PROG_LOAD, &mut attributes)?;
    // SAFETY: the call made a new descriptor.
    unsafe { check_fd(result) }
}

/// The device programs that this cgroup has of its own.
fn attached(cgroup: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let mut ids = [0u32; 64];
    let mut query = Query {
        target: cgroup.as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: 0,
        attached_flags: 0,
        ids: ids.as_mut_ptr() as u64,
        count: ids.len() as u32,
        padding: 0,
    };
    bpf(BPF_PROG_QUERY, &mut query)?;
    let open = |id: &u32| {
        let mut attributes = [*id, 0, 0, 0];
        let result = bpf(BPF_PROG_GET_FD_BY_ID, &mut attributes)?;
        // SAFETY: the call made a new descriptor.
        unsafe { check_fd(result) }
    };
    ids.iter().take(query.count as usize).map(open).collect()
}

#[cfg(test)]
mod tests {
    use super::super::devices::tests::parsed;
    use super::*;

    /// Runs a program the way the kernel does.
    fn run(program: &[Instruction], kind: i32, access: i32, major: i32, minor: i32) -> bool {
        let context = [access << 16 | kind, major, minor];
        let mut register = [0i32; 11];
        let mut at = 0usize;
        loop {
            let one = program[at];
            let (to, from) = ((one.registers & 15) as usize, (one.registers >> 4) as usize);
            at += 1;
            let jumps = match one.code {
                0x61 => {
                    register[to] = context[one.offset as usize / 4];
                    false
                }
                0x54 => {
                    register[to] &= one.immediate;
                    false
                }
                0xbc => {
                    register[to] = register[from];
                    false
                }
                0x74 => {
                    register[to] = (register[to] as u32 >> one.immediate) as i32;
                    false
                }
                0xb4 => {
                    register[to] = one.immediate;
                    false
                }
                0x56 => register[to] != one.immediate,
                0x16 => register[to] == one.immediate,
                0x05 => true,
                0x95 => return register[0] == 1,
                other => panic!("code {other:#x}"),
            };
            if jumps {
                at = at.checked_add_signed(one.offset as isize).expect("forward");
            }
        }
    }

    const MKNOD: i32 = 1;
    const READ: i32 = 2;
    const WRITE: i32 = 4;

    #[test]
    fn the_last_matching_rule_decides_each_access() {
        let program = assemble(
            &parsed(
                r#"[{"allow":false},{"allow":true,"type":"b","major":8,"access":"rw"},
                    {"allow":false,"type":"b","major":8,"minor":1,"access":"w"}]"#,
            )
            .expect("rules"),
        );
        assert!(run(&program, DEV_CHAR, READ | WRITE, 1, 3), "null");
        assert!(run(&program, DEV_CHAR, READ, 136, 7), "a terminal");
        assert!(run(&program, DEV_CHAR, MKNOD, 10, 200), "mknod of anything");
        assert!(!run(&program, DEV_CHAR, READ, 10, 200), "tun");
        assert!(run(&program, DEV_BLOCK, READ | WRITE, 8, 0), "a disk");
        assert!(run(&program, DEV_BLOCK, READ, 8, 1), "its partition, reading");
        assert!(!run(&program, DEV_BLOCK, READ | WRITE, 8, 1), "and writing at once");
        assert!(!run(&program, DEV_BLOCK, READ, 259, 0), "another disk");
    }

    #[test]
    fn a_rule_for_everything_ends_the_search() {
        let program =
            assemble(&parsed(r#"[{"allow":true,"type":"c","major":1},{"allow":true}]"#).expect("rules"));
        assert!(run(&program, DEV_BLOCK, READ | WRITE | MKNOD, 259, 3));
    }
}
