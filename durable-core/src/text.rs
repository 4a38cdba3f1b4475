//! Text of bounded length.

/// Cuts off what is longer than so many bytes, between two characters.
pub(crate) fn cut(text: &mut String, bytes: usize) {
    let ends = 0..=bytes.min(text.len());
    let end = ends.rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn whole_characters_are_kept() {
        for (bytes, kept) in [(0, ""), (2, ""), (3, "€"), (5, "€"), (6, "€€"), (99, "€€")]
        {
            let mut text = "€€".to_owned();
            cut(&mut text, bytes);
            assert_eq!(text, kept, "{bytes}");
        }
    }
}
