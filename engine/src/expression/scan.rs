//! Reads past strings in an expression without parsing it: to find where a `${{ … }}` ends, and to bound the nesting
//! before the parser, which recurses, sees the text.
//!
//! For every text that the parser's lexer reads, this scanner must see the same strings; else brackets could hide from
//! the bound. What could be read in two ways is refused.

use super::Problem;

/// What stands outside of strings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    /// Its first byte.
    pub(super) at: usize,
    pub(super) char: char,
}

/// The characters of an expression that are in no string and no quoted name.
pub(super) struct Scanner<'s> {
    source: &'s str,
    at: usize,
    /// Where the word began that ends here: letters, digits and `_`.
    word: usize,
}

impl<'s> Scanner<'s> {
    pub(super) fn new(source: &'s str) -> Self {
        Self {
            source,
            at: 0,
            word: 0,
        }
    }

    /// The next character; an error where a string has no end, or none knows whether it is one.
    pub(super) fn next(&mut self) -> Result<Option<Seen>, Problem> {
        loop {
            let at = self.at;
            let Some(char) = self.source[at..].chars().next() else {
                return Ok(None);
            };
            if matches!(char, '"' | '\'' | '`') {
                self.skip_string(char)?;
                continue;
            }
            self.at += char.len_utf8();
            if !(char.is_ascii_alphanumeric() || char == '_') {
                self.word = self.at;
            }
            return Ok(Some(Seen { at, char }));
        }
    }

    fn skip_string(&mut self, quote: char) -> Result<(), Problem> {
        let begin = self.at;
        let prefix = self.source[self.word..begin].to_ascii_lowercase();
        if !matches!(prefix.as_str(), "" | "r" | "b" | "br" | "rb")
            || quote == '`' && !prefix.is_empty()
        {
            return Err(Problem::new(
                self.word..begin + 1,
                "a string follows a word directly",
            ));
        }
        let raw = prefix.contains('r') || quote == '`';
        let triple = format!("{quote}{quote}{quote}");
        let long = quote != '`' && self.source[begin..].starts_with(&triple);
        let end = if long { triple } else { quote.to_string() };
        self.at += end.len();
        let mut rest = self.source[self.at..].chars();
        loop {
            if rest.as_str().starts_with(&end) {
                self.at = self.source.len() - rest.as_str().len() + end.len();
                self.word = self.at;
                return Ok(());
            }
            match rest.next() {
                Some('\\') if !raw => _ = rest.next(),
                Some(_) => {}
                None => {
                    return Err(Problem::new(
                        begin..self.source.len(),
                        "a string without its end",
                    ));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(source: &str) -> String {
        let mut scanner = Scanner::new(source);
        let mut seen = String::new();
        while let Some(next) = scanner.next().expect("sound") {
            seen.push(next.char);
        }
        seen
    }

    #[test]
    fn strings_are_read_past() {
        assert_eq!(outside("a + '}}' + b"), "a +  + b");
        assert_eq!(outside(r#"'it\'s' "\"" x"#), "  x");
        assert_eq!(outside(r"r'\' + x"), "r + x");
        assert_eq!(outside(r"bR'\' x"), "bR x");
        assert_eq!(outside("'''a'b''' + x"), " + x");
        assert_eq!(outside(r#""""a"b\"""" + x"#), " + x");
        assert_eq!(outside("a.`b'(` + x"), "a. + x");
        assert_eq!(outside("'' + x"), " + x");
    }

    #[test]
    fn what_could_be_two_things_is_refused() {
        for source in [
            "1r'\\' + ((",
            "foor'x'",
            "a'b'",
            "'open",
            "r\"open\\",
            "'''a''",
            "ar`x`",
        ] {
            let mut scanner = Scanner::new(source);
            let refused = loop {
                match scanner.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => break false,
                    Err(_) => break true,
                }
            };
            assert!(refused, "{source}");
        }
    }
}
