//! Reading whole logs, rotation included.

use std::fs;
use std::path::Path;

use tokio::sync::mpsc;

use super::reader::{Options, Reader};

fn record(text: &str) -> String {
    format!("2026-11-21T10:00:00Z stdout F {text}\n")
}

fn append(path: &Path, text: &str) {
    let old = fs::read_to_string(path).unwrap_or_default();
    // In place, as a runtime appends: the inode stays.
    use std::io::Write;
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path).expect("opened");
    file.write_all(text.as_bytes()).expect("written");
    assert_eq!(fs::read_to_string(path).expect("read"), old + text);
}

/// What the reader gives now.
async fn available(reader: &mut Reader) -> String {
    let (sender, mut receiver) = mpsc::channel(64);
    reader.copy_available(&sender).await.expect("copied");
    drop(sender);
    let mut text = Vec::new();
    while let Some(chunk) = receiver.recv().await {
        text.extend_from_slice(&chunk.expect("no error"));
    }
    String::from_utf8(text).expect("text")
}

#[tokio::test]
async fn records_written_in_two_halves() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("0.log");
    append(&log, "2026-11-21T10:00:00Z std");
    let mut reader = Reader::open(&log, Options::default()).await.expect("opened");
    assert_eq!(available(&mut reader).await, "");
    append(&log, "out F whole\n");
    assert_eq!(available(&mut reader).await, "whole\n");
}

#[tokio::test]
async fn follows_a_renamed_file_to_its_end_and_then_the_new_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("0.log");
    append(&log, &record("one"));
    let mut reader = Reader::open(&log, Options::default()).await.expect("opened");
    assert_eq!(available(&mut reader).await, "one\n");
    assert!(!reader.take_up_rotation().await.expect("looked"));
    let rotated = dir.path().join("0.log.20261121-100000");
    fs::rename(&log, &rotated).expect("renamed");
    append(&rotated, &record("two"));
    assert!(!reader.take_up_rotation().await.expect("nothing there yet"));
    assert_eq!(available(&mut reader).await, "two\n");
    append(&log, &record("three"));
    assert!(reader.take_up_rotation().await.expect("looked"));
    assert_eq!(available(&mut reader).await, "three\n");
}

#[tokio::test]
async fn begins_again_after_truncation() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("0.log");
    append(&log, &record("a long first line"));
    let mut reader = Reader::open(&log, Options::default()).await.expect("opened");
    available(&mut reader).await;
    fs::OpenOptions::new().write(true).truncate(true).open(&log).expect("truncated");
    append(&log, &record("new"));
    assert!(reader.take_up_rotation().await.expect("looked"));
    assert_eq!(available(&mut reader).await, "new\n");
}

#[tokio::test]
async fn tail_and_rest_of_an_ended_container() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("0.log");
    append(&log, &(record("1") + &record("2") + "2026-11-21T10:00:00Z stdout P cut"));
    let options = Options { tail: Some(1), ..Options::default() };
    let reader = Reader::open(&log, options).await.expect("opened");
    let (sender, mut receiver) = mpsc::channel(64);
    reader.copy(&sender).await.expect("copied");
    drop(sender);
    let mut text = Vec::new();
    while let Some(chunk) = receiver.recv().await {
        text.extend_from_slice(&chunk.expect("no error"));
    }
    assert_eq!(text, b"2\ncut\n");
}
