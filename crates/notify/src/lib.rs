//! Words out of the house: a [`alert::Notification`] in the form of its channel, handed to the provider.
