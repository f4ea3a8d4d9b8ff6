//! The steps of each lesson.

mod address_again;
mod backlog;
mod communication_loop;
mod connection_loop;
mod many_at_once;
mod no_connection;
mod no_messages;
mod one_message;
mod what_differs;

use super::lesson::Lesson;
use super::report::{LessonFault, Observer};
use super::stage::Stage;

type Played = Result<(), LessonFault>;

/// Runs a lesson on the family of `stage`.
pub(super) async fn play(lesson: Lesson, stage: &mut Stage<'_, impl Observer>) -> Played {
    match lesson {
        Lesson::OneMessage => one_message::play(stage).await,
        Lesson::CommunicationLoop => communication_loop::play(stage).await,
        Lesson::ConnectionLoop => connection_loop::play(stage).await,
        Lesson::Backlog => backlog::play(stage).await,
        Lesson::AddressAgain => address_again::play(stage).await,
        Lesson::NoMessages => no_messages::play(stage).await,
        Lesson::ManyAtOnce => many_at_once::play(stage).await,
        Lesson::WhatDiffers => what_differs::play(stage).await,
        Lesson::NoConnection => no_connection::play(stage).await,
    }
}
