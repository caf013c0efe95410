//! The help texts, as the user reads them. They are part of the interface: a change shows in review.

use super::*;
use clap::CommandFactory;

/// The long help of a command named by its path, at a fixed width and without this machine's environment.
fn help(path: &[&str]) -> String {
    let mut command = Args::command().term_width(100);
    command.build();
    let mut command = &mut command;
    for name in path {
        command = command.find_subcommand_mut(name).expect("a subcommand");
    }
    command.clone().term_width(100).render_long_help().to_string()
}

#[test]
fn the_table_is_consistent() {
    Args::command().debug_assert();
}

#[test]
fn help_of_every_command() {
    let mut command = Args::command();
    command.build();
    insta::assert_snapshot!("reeve", help(&[]));
    for sub in command.get_subcommands().map(|sub| sub.get_name().to_owned()).filter(|name| name != "help") {
        insta::assert_snapshot!(format!("reeve-{sub}"), help(&[&sub]));
    }
    for (parent, sub) in [("get", "pods"), ("get", "events"), ("image", "pull"), ("image", "export")] {
        insta::assert_snapshot!(format!("reeve-{parent}-{sub}"), help(&[parent, sub]));
    }
}
