use oci_spec::runtime::{Arch, LinuxSeccomp};
use proptest::prelude::*;
use serde_json::json;

use super::bpf;
use super::rules::ret;
use super::*;

const X86_64: u32 = 0xc000_003e;
const X86: u32 = 0x4000_0003;

fn profile(value: serde_json::Value) -> LinuxSeccomp {
    serde_json::from_value(value).expect("a profile")
}

/// Runs a filter as the kernel would.
fn run(filter: &[Instruction], arch: u32, number: u32, args: [u64; 6]) -> u32 {
    let load = |offset: u32| match offset {
        bpf::OFFSET_NUMBER => number,
        bpf::OFFSET_ARCH => arch,
        _ => {
            let word = args[(offset as usize - 16) / 8];
            if offset.is_multiple_of(8) { word as u32 } else { (word >> 32) as u32 }
        }
    };
    let (mut at, mut accumulator) = (0, 0u32);
    loop {
        let i = filter[at];
        at += 1;
        let holds = match i.code {
            bpf::LOAD => {
                accumulator = load(i.operand);
                continue;
            }
            bpf::AND => {
                accumulator &= i.operand;
                continue;
            }
            bpf::JUMP => {
                at += i.operand as usize;
                continue;
            }
            bpf::RETURN => return i.operand,
            bpf::JUMP_EQ => accumulator == i.operand,
            bpf::JUMP_GT => accumulator > i.operand,
            bpf::JUMP_GE => accumulator >= i.operand,
            other => panic!("instruction {other:#x}"),
        };
        at += usize::from(if holds { i.jump_true } else { i.jump_false });
    }
}

fn errno(number: i32) -> u32 {
    ret::ERRNO | number as u32
}

#[test]
fn named_calls_take_their_action_and_others_the_default() {
    let program = compile(&profile(json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
        "syscalls": [
            {"names": ["read", "write", "openat2"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["ptrace"], "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
            {"names": ["umount2"], "action": "SCMP_ACT_TRACE", "errnoRet": 77},
        ]
    })))
    .expect("compiles");
    let call = |number| run(program.filter(), X86_64, number, [0; 6]);
    assert_eq!(call(0), ret::ALLOW);
    assert_eq!(call(1), ret::ALLOW);
    assert_eq!(call(2), errno(libc::EPERM));
    assert_eq!(call(101), ret::KILL_PROCESS);
    assert_eq!(call(165), errno(13));
    assert_eq!(call(166), ret::TRACE | 77);
    assert_eq!(call(437), ret::ALLOW);
    assert_eq!(call(438), errno(libc::ENOSYS), "newer than all that the profile names");
    assert_eq!(call(u32::MAX), errno(libc::EPERM), "a call that a tracer skipped");
}

#[test]
fn allowing_by_default_leaves_new_calls_alone() {
    let program = compile(&profile(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["getpid"], "action": "SCMP_ACT_ERRNO"}]
    })))
    .expect("compiles");
    assert_eq!(run(program.filter(), X86_64, 39, [0; 6]), errno(libc::EPERM));
    assert_eq!(run(program.filter(), X86_64, 900, [0; 6]), ret::ALLOW);
}

#[test]
fn each_abi_has_its_own_numbers() {
    let program = compile(&profile(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"],
        "syscalls": [{"names": ["ioctl", "getpid", "socket"], "action": "SCMP_ACT_ALLOW"}]
    })))
    .expect("compiles");
    let call = |arch, number, first| run(program.filter(), arch, number, [first, 0, 0, 0, 0, 0]);
    assert_eq!(call(X86_64, 16, 0), ret::ALLOW);
    assert_eq!(call(X86_64, 0x4000_0000 | 514, 0), ret::ALLOW, "x32 ioctl");
    assert_eq!(call(X86_64, 0x4000_0000 | 16, 0), errno(libc::EPERM), "x32 has no ioctl there");
    assert_eq!(call(X86_64, 0x4000_0000 | 39, 0), ret::ALLOW, "x32 getpid");
    assert_eq!(call(X86, 54, 0), ret::ALLOW, "i386 ioctl");
    assert_eq!(call(X86, 16, 0), errno(libc::EPERM));
    assert_eq!(call(X86, 102, 1), ret::ALLOW, "socket through socketcall");
    assert_eq!(call(X86, 102, 2), errno(libc::EPERM), "bind through socketcall");
    assert_eq!(call(0xc000_00b7, 29, 0), ret::KILL_THREAD, "an architecture that cannot run here");
}

#[test]
fn x32_is_foreign_unless_listed() {
    let program = compile(&profile(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["getpid"], "action": "SCMP_ACT_ERRNO"}]
    })))
    .expect("compiles");
    assert_eq!(run(program.filter(), X86_64, 0x4000_0000 | 39, [0; 6]), ret::KILL_THREAD);
}

#[test]
fn conditions_in_a_rule_are_required_together_unless_on_one_argument() {
    let program = compile(&profile(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [
                {"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
            {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [
                {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 1, "op": "SCMP_CMP_EQ"}]},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [
                {"index": 0, "value": 2114060288u64, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
        ]
    })))
    .expect("compiles");
    let call = |number, a, b| run(program.filter(), X86_64, number, [a, b, 0, 0, 0, 0]);
    assert_eq!(call(135, 0, 0), ret::ALLOW);
    assert_eq!(call(135, 8, 0), ret::ALLOW);
    assert_eq!(call(135, 4, 0), errno(libc::EPERM));
    assert_eq!(call(41, 2, 1), ret::ALLOW);
    assert_eq!(call(41, 2, 2), errno(libc::EPERM));
    assert_eq!(call(41, 10, 1), errno(libc::EPERM));
    assert_eq!(call(56, 0x11, 0), ret::ALLOW);
    assert_eq!(call(56, 0x1000_0000, 0), errno(libc::EPERM), "CLONE_NEWUSER");
}

#[test]
fn a_rule_without_conditions_outweighs_those_with() {
    let program = compile(&profile(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            {"names": ["clone"], "action": "SCMP_ACT_KILL", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW"},
        ]
    })))
    .expect("compiles");
    assert_eq!(run(program.filter(), X86_64, 56, [1, 0, 0, 0, 0, 0]), ret::ALLOW);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let refused = |value| compile(&profile(value)).expect_err("refused");
    assert_eq!(refused(json!({"defaultAction": "SCMP_ACT_NOTIFY"})), Error::NotifyByDefault);
    assert_eq!(
        refused(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["write"], "action": "SCMP_ACT_NOTIFY"}]})),
        Error::NotifyOnWrite
    );
    assert_eq!(
        refused(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW", "errnoRet": 3}]})),
        Error::UnusedErrno { syscall: "read".into(), action: LinuxSeccompAction::ScmpActAllow }
    );
    assert_eq!(
        refused(json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000})),
        Error::ErrnoRange { syscall: "defaultErrnoRet".into(), value: 5000, max: 4095 }
    );
    assert_eq!(
        refused(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"],
            "action": "SCMP_ACT_ALLOW", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]})),
        Error::ArgumentIndex { syscall: "read".into(), index: 6 }
    );
    assert_eq!(
        refused(json!({"defaultAction": "SCMP_ACT_ALLOW",
            "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]})),
        Error::FlagWithoutNotify
    );
}

#[test]
fn names_that_nothing_here_knows_are_told() {
    let program = compile(&profile(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": ["read", "raed"], "action": "SCMP_ACT_ALLOW"}]
    })))
    .expect("compiles");
    assert_eq!(program.unknown(), ["raed"]);
}

#[test]
fn flags_follow_the_profile() {
    let program = compile(&profile(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "flags": ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]
    })))
    .expect("compiles");
    assert!(program.notifies());
    assert_eq!(
        program.flags(),
        flag::TSYNC | flag::TSYNC_ESRCH | flag::LOG | flag::SPEC_ALLOW | flag::NEW_LISTENER
    );
}

#[test]
fn the_kernel_takes_and_obeys_a_program() {
    let program = compile(&profile(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{"names": ["dup2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99,
            "args": [{"index": 1, "value": 4000000001u64, "op": "SCMP_CMP_GE"}]}]
    })))
    .expect("compiles");
    // SAFETY: the child makes system calls only and ends by _exit.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: as above; the descriptors are numbers that are not open.
        unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            let status = match program.install() {
                Ok(None) => {
                    libc::syscall(libc::SYS_dup2, -1i64 as libc::c_long, 5000000000i64);
                    let refused = *libc::__errno_location();
                    libc::syscall(libc::SYS_dup2, -1i64 as libc::c_long, 1000i64);
                    let passed = *libc::__errno_location();
                    if refused == 99 && passed == libc::EBADF { 0 } else { 1 }
                }
                _ => 2,
            };
            libc::_exit(status);
        }
    }
    let mut status = 0;
    // SAFETY: `child` is this test's own child.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(status, 0);
}

/// The meaning of a profile, written down without regard to programs.
fn meaning(profile: &LinuxSeccomp, name: &str, args: [u64; 6]) -> LinuxSeccompAction {
    let default = profile.default_action();
    let rules: Vec<_> = profile
        .syscalls()
        .iter()
        .flatten()
        .filter(|r| r.action() != default && r.names().iter().any(|n| n == name))
        .collect();
    if let Some(rule) = rules.iter().find(|r| r.args().as_deref().unwrap_or_default().is_empty()) {
        return rule.action();
    }
    for rule in rules {
        let conditions = rule.args().as_deref().unwrap_or_default();
        let holds = |a: &oci_spec::runtime::LinuxSeccompArg| {
            use oci_spec::runtime::LinuxSeccompOperator::*;
            let argument = args[a.index()];
            match a.op() {
                ScmpCmpNe => argument != a.value(),
                ScmpCmpLt => argument < a.value(),
                ScmpCmpLe => argument <= a.value(),
                ScmpCmpEq => argument == a.value(),
                ScmpCmpGe => argument >= a.value(),
                ScmpCmpGt => argument > a.value(),
                ScmpCmpMaskedEq => argument & a.value() == a.value_two().unwrap_or(0) & a.value(),
            }
        };
        let repeated = conditions
            .iter()
            .enumerate()
            .any(|(i, a)| conditions[..i].iter().any(|b| b.index() == a.index()));
        if if repeated { conditions.iter().any(holds) } else { conditions.iter().all(holds) } {
            return rule.action();
        }
    }
    default
}

fn value_of(action: LinuxSeccompAction) -> u32 {
    match action {
        LinuxSeccompAction::ScmpActAllow => ret::ALLOW,
        LinuxSeccompAction::ScmpActLog => ret::LOG,
        LinuxSeccompAction::ScmpActTrap => ret::TRAP,
        LinuxSeccompAction::ScmpActErrno => errno(libc::EPERM),
        other => panic!("not generated: {other}"),
    }
}

const NAMES: [&str; 8] = ["read", "open", "ioctl", "socket", "clone", "prctl", "openat2", "cachestat"];
const NUMBERS: [u32; 8] = [0, 2, 16, 41, 56, 157, 437, 451];

/// Values near word borders, where comparing by halves goes wrong.
fn word() -> impl Strategy<Value = u64> {
    let near =
        prop_oneof![Just(0u64), Just(1 << 31), Just(1 << 32), Just(5 << 32), Just(u64::MAX), any::<u64>()];
    (near, -2i64..=2).prop_map(|(base, off)| base.wrapping_add(off as u64))
}

fn any_profile() -> impl Strategy<Value = LinuxSeccomp> {
    let action = || {
        prop_oneof![
            Just("SCMP_ACT_ALLOW"),
            Just("SCMP_ACT_LOG"),
            Just("SCMP_ACT_TRAP"),
            Just("SCMP_ACT_ERRNO")
        ]
    };
    let op = proptest::sample::select(vec![
        "SCMP_CMP_NE",
        "SCMP_CMP_LT",
        "SCMP_CMP_LE",
        "SCMP_CMP_EQ",
        "SCMP_CMP_GE",
        "SCMP_CMP_GT",
        "SCMP_CMP_MASKED_EQ",
    ]);
    let arg = (0..6usize, word(), word(), op).prop_map(
        |(index, value, two, op)| json!({"index": index, "value": value, "valueTwo": two, "op": op}),
    );
    let rule =
        (proptest::sample::subsequence(NAMES.to_vec(), 1..4), action(), proptest::collection::vec(arg, 0..4))
            .prop_map(|(names, action, args)| json!({"names": names, "action": action, "args": args}));
    (action(), proptest::collection::vec(rule, 0..12))
        .prop_map(|(default, rules)| profile(json!({"defaultAction": default, "syscalls": rules})))
}

proptest! {
    #[test]
    fn programs_mean_what_profiles_say(
        profile in any_profile(),
        calls in proptest::collection::vec((0..8usize, proptest::array::uniform6(word())), 40),
        same in any::<bool>(),
    ) {
        let program = compile(&profile).expect("compiles");
        let named: Vec<u64> = profile.syscalls().iter().flatten().flat_map(|r| r.args().iter().flatten())
            .flat_map(|a| [a.value(), a.value_two().unwrap_or(0)]).collect();
        let newest = NAMES.iter().zip(NUMBERS).filter(|(name, _)| profile.syscalls().iter().flatten()
            .any(|r| r.action() != profile.default_action() && r.names().iter().any(|n| n == *name)))
            .map(|(_, number)| number).max();
        for (call, mut args) in calls {
            if same {
                for (i, arg) in args.iter_mut().enumerate() {
                    *arg = named.get((*arg as usize).wrapping_add(i) % named.len().max(1)).copied().unwrap_or(0);
                }
            }
            let refused = matches!(profile.default_action(),
                LinuxSeccompAction::ScmpActErrno | LinuxSeccompAction::ScmpActTrap);
            let expected = match newest {
                Some(newest) if NUMBERS[call] > newest && refused => errno(libc::ENOSYS),
                _ => value_of(meaning(&profile, NAMES[call], args)),
            };
            prop_assert_eq!(run(program.filter(), X86_64, NUMBERS[call], args), expected);
        }
    }

    #[test]
    fn long_profiles_jump_far(count in 1..300usize) {
        let names: Vec<String> = syscalls::x86_64::Sysno::iter().take(count).map(|s| s.name().to_owned()).collect();
        let rules: Vec<_> = names.iter().enumerate().map(|(i, name)| json!({
            "names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": i,
            "args": [{"index": 0, "value": i, "op": "SCMP_CMP_EQ"}]})).collect();
        let program = compile(&profile(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}))).expect("compiles");
        for (i, call) in syscalls::x86_64::Sysno::iter().take(count).enumerate() {
            let at = |first| run(program.filter(), X86_64, call.id() as u32, [first, 0, 0, 0, 0, 0]);
            prop_assert_eq!(at(i as u64), ret::ERRNO | i as u32);
            prop_assert_eq!(at(i as u64 + 1), ret::ALLOW);
        }
    }
}

#[test]
fn architectures_of_other_machines_are_left_out() {
    let with = compile(&profile(json!({"defaultAction": "SCMP_ACT_ALLOW",
        "architectures": [Arch::ScmpArchS390x, Arch::ScmpArchX86_64]})));
    let without = compile(&profile(json!({"defaultAction": "SCMP_ACT_ALLOW"})));
    assert_eq!(with, without);
}
