//! Our charges held against Twilio's usage records.
