//! Substring search, as SQL's `ILIKE '%q%'`: what is looked for, and under which texts a thing can be found.
//!
//! A thing is indexed by every suffix of each word of its texts. A substring of a word is the beginning of one of the
//! word's suffixes, so that the index finds it by a prefix; what is longer than that is compared with the texts.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization;

use super::User;
use super::text::{Invalid, Name, Username};

/// The fewest characters of a query, and of a suffix.
const SHORTEST: usize = 2;

/// The most characters of a suffix. It is part of a sort key, which must stay small; the texts decide about the rest.
const LONGEST: usize = 40;

/// The most characters of a query.
const MOST_CHARACTERS: usize = 100;

/// The form in which texts are compared: in lower case, in Unicode normal form C, with one space between words.
pub fn fold(text: &str) -> String {
    let lower = text.nfc().flat_map(char::to_lowercase);
    // A sigma is written differently at the end of a word; a part of the word must fold like the whole.
    let lower = lower.map(|c| if c == 'ς' { 'σ' } else { c });
    // Lower-casing can undo the normal form.
    let lower: String = lower.nfc().collect();
    lower.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every suffix of each word of folded texts. What is cut to [`LONGEST`] is still called a suffix here.
pub fn suffixes<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    each_suffix(texts).map(str::to_owned).collect()
}

fn each_suffix<'a>(texts: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    let words = texts.into_iter().flat_map(|text: &'a str| text.split(' '));
    words.flat_map(suffixes_of)
}

fn suffixes_of(word: &str) -> impl Iterator<Item = &str> {
    let suffixes = word.char_indices().map(move |(start, _)| &word[start..]);
    suffixes.filter(|suffix| is_long_enough(suffix)).map(cut)
}

fn is_long_enough(text: &str) -> bool {
    text.chars().nth(SHORTEST - 1).is_some()
}

fn cut(word: &str) -> &str {
    let end = word.char_indices().nth(LONGEST);
    end.map_or(word, |(end, _)| &word[..end])
}

/// What is looked for, folded: 2 to 100 characters, and a word of at least two among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query(String);

impl Query {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = fold(text);
        if !is_long_enough(&text) {
            let message = format!("must have at least {SHORTEST} characters");
            return Err(Invalid::new("too_short", message));
        }
        if !text.split(' ').any(is_long_enough) {
            let message = format!("must have a word of at least {SHORTEST} characters");
            return Err(Invalid::new("too_short", message));
        }
        if text.chars().count() > MOST_CHARACTERS {
            let message = format!("must have at most {MOST_CHARACTERS} characters");
            return Err(Invalid::new("too_long", message));
        }
        Ok(Self(text))
    }

    /// Whether one of these folded texts contains the whole query.
    pub fn matches(&self, texts: &[String]) -> bool {
        texts.iter().any(|text| text.contains(&self.0))
    }

    /// What the index is asked for: the longest word, because the fewest things have it.
    pub fn anchor(&self) -> Anchor<'_> {
        let mut longest = Anchor {
            fragment: "",
            is_whole: false,
        };
        let mut most = 0;
        let mut words = self.0.split(' ').peekable();
        while let Some(word) = words.next() {
            let length = word.chars().count();
            if length > most {
                most = length;
                longest = Anchor {
                    fragment: cut(word),
                    // Where a space follows in the query, a word of the text ends as well. The last one may be only the
                    // beginning of a word.
                    is_whole: words.peek().is_some() && length <= LONGEST,
                };
            }
        }
        longest
    }
}

/// The part of a query that the index is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor<'a> {
    /// At least two characters, without a space.
    pub fragment: &'a str,
    /// Whether a suffix must be the fragment, and not only begin with it.
    pub is_whole: bool,
}

impl Anchor<'_> {
    /// Whether the index finds this suffix.
    pub fn finds(&self, suffix: &str) -> bool {
        match self.is_whole {
            true => suffix == self.fragment,
            false => suffix.starts_with(self.fragment),
        }
    }

    /// The suffix at which a thing with these folded texts is shown: the smallest that the index finds. All others lead
    /// to the same thing again, as "an" does twice in "banana", or are left from a text that it had before.
    pub fn first_row<'t>(&self, texts: &'t [String]) -> Option<&'t str> {
        let suffixes = each_suffix(texts.iter().map(String::as_str));
        suffixes.filter(|suffix| self.finds(suffix)).min()
    }
}

impl User {
    /// What a user is found by, folded.
    pub fn search_texts(&self) -> Vec<String> {
        let email = Some(self.email.as_str());
        let username = self.username.as_ref().map(Username::as_str);
        let full_name = self.full_name.as_ref().map(Name::as_str);
        let texts = [email, username, full_name].into_iter().flatten();
        texts.map(fold).collect()
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;
    use crate::models::text::Email;

    /// Letters that have more than one form, or more than one byte, or none that is smaller. Few of each kind, so that
    /// random texts have parts in common.
    const LETTERS: &[&str] = &[
        "aAbBnN",
        "éÉe\u{301}E\u{301}ǰJ\u{30c}Å\u{212b}",
        "σςΣαΑάΆ",
        "шШйЙи\u{306}",
        "李王漢字",
        "😀👩\u{200d}🚀",
        "iIİıI\u{307}",
        "ßẞsS",
        "-.@_1",
    ];

    fn word(random: &mut Rng) -> String {
        let letters: Vec<char> = LETTERS[random.usize(..LETTERS.len())].chars().collect();
        let length = match random.u8(..8) {
            0 => random.usize(LONGEST - 2..LONGEST + 20),
            _ => random.usize(1..8),
        };
        (0..length)
            .map(|_| letters[random.usize(..letters.len())])
            .collect()
    }

    fn text(random: &mut Rng) -> String {
        let spaces = [" ", "  ", "\t", "\u{a0}", "\u{3000} ", ""];
        let mut text = String::new();
        for _ in 0..random.usize(1..5) {
            text += &word(random);
            text += spaces[random.usize(..spaces.len())];
        }
        text
    }

    fn texts(random: &mut Rng) -> Vec<String> {
        (0..random.usize(1..4))
            .map(|_| fold(&text(random)))
            .collect()
    }

    fn suffixes_of_all(texts: &[String]) -> BTreeSet<String> {
        suffixes(texts.iter().map(String::as_str))
    }

    /// Some of the characters of a text, one after the other.
    fn part(text: &str, random: &mut Rng) -> String {
        let characters: Vec<char> = text.chars().collect();
        let start = random.usize(..=characters.len());
        let end = random.usize(start..=characters.len());
        characters[start..end].iter().collect()
    }

    fn set<const N: usize>(suffixes: [&str; N]) -> BTreeSet<String> {
        suffixes.map(str::to_owned).into()
    }

    #[test]
    fn folding() {
        for (text, expected) in [
            ("  Ada \t LOVELACE\u{a0}\n", "ada lovelace"),
            ("Andre\u{301} ANDRÉ", "andré andré"),
            ("J\u{30c}", "\u{1f0}"),
            ("ΟΔΥΣΣΕΥΣ Οδυσσεύς", "οδυσσευσ οδυσσεύσ"),
            ("İstanbul Isparta ısı", "i\u{307}stanbul isparta ısı"),
            ("STRASSE Straße STRAẞE", "strasse straße straße"),
            ("\u{212b}ngström", "ångström"),
            ("李 😀", "李 😀"),
            ("", ""),
            (" \u{3000} ", ""),
        ] {
            assert_eq!(fold(text), expected, "for {text:?}");
        }
    }

    #[test]
    fn what_is_folded_stays_as_it_is_and_so_do_its_parts() {
        let mut random = Rng::with_seed(1);
        for _ in 0..5_000 {
            let raw = text(&mut random);
            let folded = fold(&raw);
            assert_eq!(fold(&folded), folded, "{raw:?}");
            assert_eq!(fold(&raw.nfd().collect::<String>()), folded, "{raw:?}");
            assert_eq!(fold(&raw.nfc().collect::<String>()), folded, "{raw:?}");
            let part = part(&folded, &mut random);
            assert_eq!(fold(&part), part.trim(), "{raw:?}");
        }
    }

    #[test]
    fn suffixes_of_each_word() {
        let found = suffixes(["ada l", "banana", "ana"]);
        let expected = ["ada", "da", "banana", "anana", "nana", "ana", "na"];
        assert_eq!(found, set(expected));
        assert_eq!(suffixes(["李小龍", "é", ""]), set(["李小龍", "小龍"]));
        assert_eq!(suffixes([]), set([]));

        let long = "x".repeat(LONGEST + 5);
        let lengths: Vec<_> = suffixes([long.as_str()]).iter().map(String::len).collect();
        assert_eq!(lengths, Vec::from_iter(SHORTEST..=LONGEST));
    }

    #[test]
    fn no_suffix_is_too_short_or_too_long_or_holds_a_space() {
        let mut random = Rng::with_seed(2);
        for _ in 0..2_000 {
            for suffix in suffixes_of_all(&texts(&mut random)) {
                let length = suffix.chars().count();
                assert!((SHORTEST..=LONGEST).contains(&length), "{suffix:?}");
                assert!(!suffix.contains(char::is_whitespace), "{suffix:?}");
            }
        }
    }

    #[test]
    fn the_difference_of_two_states_leads_from_one_to_the_other() {
        let mut random = Rng::with_seed(3);
        for _ in 0..1_000 {
            let old = suffixes_of_all(&texts(&mut random));
            let new = suffixes_of_all(&texts(&mut random));
            let mut rows = old.clone();
            rows.extend(new.difference(&old).cloned());
            for gone in old.difference(&new) {
                rows.remove(gone);
            }
            assert_eq!(rows, new);
        }
    }

    #[test]
    fn queries() {
        let most = "x".repeat(MOST_CHARACTERS);
        let long = "x".repeat(MOST_CHARACTERS + 1);
        for (text, expected) in [
            (" Ada  L ", Ok("ada l")),
            ("李小", Ok("李小")),
            ("😀😀", Ok("😀😀")),
            (&most, Ok(most.as_str())),
            ("", Err("too_short")),
            ("a", Err("too_short")),
            (" é ", Err("too_short")),
            ("a b c", Err("too_short")),
            (&long, Err("too_long")),
        ] {
            let found = Query::parse(text).map(|query| query.0).map_err(|e| e.code);
            assert_eq!(found, expected.map(str::to_owned), "for {text:?}");
        }
    }

    #[test]
    fn anchors() {
        let exact = "x".repeat(LONGEST);
        let long = "x".repeat(LONGEST + 1);
        for (text, fragment, is_whole) in [
            ("love", "love", false),
            ("da lovelace", "lovelace", false),
            ("ada lo", "ada", true),
            ("a lo", "lo", false),
            ("da lo", "da", true),
            ("van der berg", "berg", false),
            ("n derwald ber", "derwald", true),
            (&format!("{exact} y"), exact.as_str(), true),
            (&format!("{long} y"), exact.as_str(), false),
            (&long, exact.as_str(), false),
        ] {
            let query = Query::parse(text).unwrap();
            let expected = Anchor { fragment, is_whole };
            assert_eq!(query.anchor(), expected, "for {text:?}");
        }
    }

    #[test]
    fn a_thing_is_shown_at_its_smallest_row() {
        let texts = ["banana".to_owned(), "ana".to_owned()];
        let first_row = |text| {
            let query = Query::parse(text).unwrap();
            query.anchor().first_row(&texts).map(str::to_owned)
        };
        assert_eq!(first_row("an").as_deref(), Some("ana"));
        assert_eq!(first_row("anan").as_deref(), Some("anana"));
        assert_eq!(first_row("na").as_deref(), Some("na"));
        assert_eq!(first_row("ana x").as_deref(), Some("ana"));
        assert_eq!(first_row("nan x"), None);
        assert_eq!(first_row("lovelace"), None);
    }

    #[test]
    fn every_part_of_a_text_is_found() {
        let mut random = Rng::with_seed(4);
        let mut tried = 0;
        for _ in 0..5_000 {
            let texts = texts(&mut random);
            let text = &texts[random.usize(..texts.len())];
            let Ok(query) = Query::parse(&part(text, &mut random)) else {
                continue;
            };
            tried += 1;
            assert!(query.matches(&texts), "{query:?} in {texts:?}");
            let first = query.anchor().first_row(&texts).map(str::to_owned);
            let found = first.is_some_and(|first| suffixes_of_all(&texts).contains(&first));
            assert!(found, "{query:?} in {texts:?}");
        }
        assert!(tried > 1_000, "{tried}");
    }

    /// An index of many things answers what comparing each of them would, and each of them once.
    #[test]
    fn an_index_finds_what_a_comparison_finds() {
        let mut random = Rng::with_seed(5);
        for _ in 0..20 {
            let things: Vec<Vec<String>> = (0..30).map(|_| texts(&mut random)).collect();
            let mut rows = BTreeSet::new();
            for (id, texts) in things.iter().enumerate() {
                rows.extend(suffixes_of_all(texts).into_iter().map(|row| (row, id)));
                // Rows that are left from before.
                let old = suffixes_of_all(&self::texts(&mut random));
                rows.extend(old.into_iter().map(|row| (row, id)));
            }
            for _ in 0..50 {
                let texts = &things[random.usize(..things.len())];
                let text = part(&texts[0], &mut random);
                // Short ones, so that many things have them, and a few that no text contains.
                let short: String = text.chars().take(random.usize(2..7)).collect();
                let Ok(query) = Query::parse(&short) else {
                    continue;
                };
                let anchor = query.anchor();
                let found = rows.iter().filter(|(row, _)| anchor.finds(row));
                let shown = found.filter(|(row, id)| {
                    let texts = &things[*id];
                    query.matches(texts) && anchor.first_row(texts) == Some(row.as_str())
                });
                let mut shown: Vec<usize> = shown.map(|(_, id)| *id).collect();
                shown.sort_unstable();
                let contains = |texts: &[String]| texts.iter().any(|text| text.contains(&query.0));
                let all = 0..things.len();
                let expected: Vec<usize> = all.filter(|id| contains(&things[*id])).collect();
                assert_eq!(shown, expected, "{query:?}");
            }
        }
    }

    #[test]
    fn a_user_is_found_by_address_and_names() {
        let mut user = User::new(Email::parse("Ada@Example.com").unwrap());
        assert_eq!(user.search_texts(), ["ada@example.com"]);
        user.username = Some(Username::parse("Ada_L").unwrap());
        user.full_name = Some(Name::parse("Ada  LOVELACE").unwrap());
        // By no other field.
        user.first_name = Some(Name::parse("Augusta").unwrap());
        let expected = ["ada@example.com", "ada_l", "ada lovelace"];
        assert_eq!(user.search_texts(), expected);
    }
}
