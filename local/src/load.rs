//! People who are made up, to fill empty tables with: the same ones each time, of several scripts and languages.

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use jiff::Timestamp;
use shared::App;
use shared::models::text::{Email, Name, Username};
use shared::models::{Role, User};
use uuid::Builder;

/// There are no more of them: 31 to the power of 5. See [`code`].
pub const MOST: u32 = 28_629_151;

/// How many are written at once.
const PART: usize = 1_000;

/// They were made in the last three years, in milliseconds, the first of them first.
const SPAN: i64 = 3 * 365 * 24 * 3_600 * 1_000;

const SEED: u64 = 2_025;

/// Writes so many users, who cannot log in, and tells `progress` after each part of them how many it was.
///
/// They are made up anew each time in the same way, so that tables which hold some already are refused.
pub async fn users(app: &App, number: u32, mut progress: impl FnMut(u64)) -> Result<()> {
    if number > MOST {
        bail!("only {MOST} people can be made up");
    }
    let end = app.clock.now().as_millisecond();
    let created_at = |at: u32| {
        let ago = SPAN - SPAN * i64::from(at) / i64::from(number);
        Timestamp::from_millisecond(end - ago).context("a time out of range")
    };
    let mut random = Rng::with_seed(SEED);
    for from in (0..number).step_by(PART) {
        let part = (from..number).take(PART);
        let people = part.map(|at| person(&mut random, at, created_at(at)?));
        let people = people.collect::<Result<Vec<_>>>()?;
        if from == 0
            && let Some(first) = people.first()
            && app.store.user_by_email(&first.email).await?.is_some()
        {
            bail!(
                "the tables hold people who were made up before; `cargo dev --reset` starts with \
                 empty ones"
            );
        }
        app.store.load_users(&people).await?;
        progress(people.len() as u64);
    }
    Ok(())
}

/// The person of this number. Most are active users; there is no administrator.
fn person(random: &mut Rng, number: u32, created_at: Timestamp) -> Result<User> {
    let language = match random.u8(..100) {
        0..60 => &LATIN,
        60..70 => &GREEK,
        70..80 => &CYRILLIC,
        80..90 => &JAPANESE,
        _ => &ARABIC,
    };
    let (given, short) = pick(random, language.given);
    let first = Name::parse(given)?;
    let last = Name::parse(pick(random, language.family))?;
    let full = match language.family_first {
        true => Name::join(Some(&last), Some(&first)),
        false => Name::join(Some(&first), Some(&last)),
    };
    let code = code(number);
    let role = match random.u16(..1_000) {
        0..10 => Role::Moderator,
        10..12 => Role::Manager,
        _ => Role::User,
    };
    let mut tail = [0; 10];
    random.fill(&mut tail);
    let made = u64::try_from(created_at.as_millisecond())?;
    Ok(User {
        id: Builder::from_unix_timestamp_millis(made, &tail).into_uuid(),
        username: Some(Username::parse(&format!("{short}_{code}"))?),
        first_name: Some(first),
        last_name: Some(last),
        full_name: full,
        role,
        is_active: random.u8(..100) >= 3,
        is_verified: random.u8(..10) > 0,
        created_at,
        updated_at: created_at,
        ..User::new(Email::parse(&format!("{short}.{code}@example.com"))?)
    })
}

/// One of them, the first more often than the last, as it is with names.
fn pick<T: Copy>(random: &mut Rng, of: &[T]) -> T {
    of[random.usize(..of.len()).min(random.usize(..of.len()))]
}

/// Five characters, different ones for each number below [`MOST`]. Without vowels, so that they make no word.
fn code(number: u32) -> String {
    const CHARACTERS: &[u8; 31] = b"0123456789bcdfghjklmnpqrstvwxyz";
    // The factor is no multiple of 31, so that no two numbers come to the same.
    let mut rest = u64::from(number) * 19_937_017 % u64::from(MOST);
    let next = |_| {
        let at = (rest % 31) as usize;
        rest /= 31;
        char::from(CHARACTERS[at])
    };
    (0..5).map(next).collect()
}

struct Language {
    /// With what an e-mail address has of it.
    given: &'static [(&'static str, &'static str)],
    family: &'static [&'static str],
    /// Whether a full name begins with the family's.
    family_first: bool,
}

const LATIN: Language = Language {
    given: &[
        ("Maria", "mar"),
        ("José", "jose"),
        ("Zoë", "zoe"),
        ("Łukasz", "luk"),
        ("Chloé", "chl"),
        ("Jürgen", "jur"),
        ("Søren", "sor"),
        ("Inês", "ine"),
        ("Tomáš", "tom"),
        ("Ayşe", "ays"),
        ("Þóra", "tho"),
        ("Siobhán", "sio"),
    ],
    family: &[
        "Silva",
        "Müller",
        "García",
        "Novák",
        "Kowalska",
        "Lindström",
        "Nguyễn",
        "O'Connor",
        "Strauß",
        "Yılmaz",
        "Østergaard",
        "Dvořák",
        "de la Fuente",
        "Țărmureanu",
    ],
    family_first: false,
};

const GREEK: Language = Language {
    given: &[
        ("Ελένη", "ele"),
        ("Γιώργος", "gio"),
        ("Δήμητρα", "dim"),
        ("Κώστας", "kos"),
    ],
    family: &["Παπαδόπουλος", "Γεωργίου", "Νικολαΐδης", "Αντωνίου"],
    family_first: false,
};

const CYRILLIC: Language = Language {
    given: &[
        ("Анна", "ann"),
        ("Иван", "iva"),
        ("Олександра", "ole"),
        ("Юрій", "yur"),
    ],
    family: &["Петров", "Шевченко", "Кузнецова", "Йорданов"],
    family_first: false,
};

const JAPANESE: Language = Language {
    given: &[
        ("花子", "hana"),
        ("太郎", "taro"),
        ("さくら", "saku"),
        ("ケン", "ken"),
    ],
    family: &["佐藤", "鈴木", "高橋", "長谷川"],
    family_first: true,
};

const ARABIC: Language = Language {
    given: &[
        ("محمد", "moh"),
        ("فاطمة", "fat"),
        ("ليلى", "lay"),
        ("أحمد", "ahm"),
    ],
    family: &["حداد", "الأحمد", "خوري", "منصور"],
    family_first: false,
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn people(number: u32) -> Vec<User> {
        let mut random = Rng::with_seed(SEED);
        let made = |at: u32| Timestamp::from_millisecond(1_700_000_000_000 + i64::from(at));
        let people = (0..number).map(|at| person(&mut random, at, made(at).unwrap()).unwrap());
        people.collect()
    }

    #[test]
    fn people_come_again_and_differ() {
        let found = people(5_000);
        let fixed = |user: &User| (user.id, user.email.clone(), user.full_name.clone());
        let again = people(100);
        assert!(again.iter().map(fixed).eq(found[..100].iter().map(fixed)));
        let emails: BTreeSet<_> = found.iter().map(|user| user.email.as_str()).collect();
        assert_eq!(emails.len(), found.len());
        let names = found.iter().flat_map(|user| &user.username);
        let names: BTreeSet<_> = names.map(Username::folded).collect();
        assert_eq!(names.len(), found.len());
        assert!(emails.iter().all(|email| email.len() <= 22));
    }

    #[test]
    fn ids_are_in_the_order_of_the_times() {
        let found = people(1_000);
        assert!(found.is_sorted_by(|one, next| one.id < next.id));
        for user in &found {
            let (seconds, nanos) = user.id.get_timestamp().unwrap().to_unix();
            let at = Timestamp::new(seconds.cast_signed(), nanos.cast_signed()).unwrap();
            assert_eq!(at, user.created_at);
        }
    }

    #[test]
    fn most_are_active_users_and_some_are_not() {
        let found = people(20_000);
        let count = |which: fn(&User) -> bool| found.iter().filter(|user| which(user)).count();
        let rough = |found: usize, expected: usize| {
            assert!((expected / 3..expected * 3).contains(&found), "{found}");
        };
        rough(count(|user| user.role == Role::Moderator), 200);
        rough(count(|user| user.role == Role::Manager), 40);
        rough(count(|user| !user.is_active), 600);
        assert_eq!(count(|user| user.role == Role::Admin), 0);
    }

    #[test]
    fn numbers_have_different_codes() {
        let codes: BTreeSet<_> = (0..MOST).step_by(997).map(code).collect();
        assert_eq!(codes.len(), (0..MOST).step_by(997).len());
        assert_eq!(code(0), "00000");
        assert!(codes.iter().all(|code| code.len() == 5));
    }
}
