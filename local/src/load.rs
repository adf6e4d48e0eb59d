//! People and items that are made up, to fill empty tables with: the same ones each time. The people are of several
//! scripts and languages; the items have few words, because each costs rows of the search.

use std::collections::{BTreeSet, HashMap};
use std::slice;

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use jiff::Timestamp;
use shared::App;
use shared::models::item::{Description, Item, Tag, Title};
use shared::models::money::{Money, Percent, Price};
use shared::models::text::{Email, Name, Username};
use shared::models::{Role, User};
use uuid::{Builder, Uuid};

use crate::demo::{self, Wanted};

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
    let end = app.clock.now();
    let mut random = Rng::with_seed(SEED);
    for from in (0..number).step_by(PART) {
        let part = (from..number).take(PART);
        let people = part.map(|at| person(&mut random, at, made_at(end, at, number)?));
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

/// Who owns the items.
const OWNER: &str = "workshop@example.com";

/// Writes so many items, all of them for sale, with their categories and with their owner, who cannot log in. Tells
/// `progress` after each part of them how many it was.
///
/// As [`users`], it refuses tables which hold some already.
pub async fn items(app: &App, number: u32, mut progress: impl FnMut(u64)) -> Result<()> {
    if number > MOST {
        bail!("only {MOST} items can be made up");
    }
    let email = Email::parse(OWNER)?;
    if app.store.user_by_email(&email).await?.is_some() {
        bail!(
            "the tables hold items that were made up before; `cargo dev --reset` starts with \
             empty ones"
        );
    }
    let owner = User::new(email);
    app.store.load_users(slice::from_ref(&owner)).await?;
    let categories = demo::categories(app, owner.id, CATEGORIES.iter()).await?;
    let end = app.clock.now();
    let mut random = Rng::with_seed(SEED);
    for from in (0..number).step_by(PART) {
        let part = (from..number).take(PART);
        let items = part.map(|at| {
            let created_at = made_at(end, at, number)?;
            item(&mut random, at, created_at, owner.id, &categories)
        });
        let items = items.collect::<Result<Vec<_>>>()?;
        app.store.load_items(&items).await?;
        progress(items.len() as u64);
    }
    Ok(())
}

/// When the one of this number was made, of so many.
fn made_at(end: Timestamp, at: u32, number: u32) -> Result<Timestamp> {
    let ago = SPAN - SPAN * i64::from(at) / i64::from(number);
    let made = Timestamp::from_millisecond(end.as_millisecond() - ago);
    made.context("a time out of range")
}

/// An id with the time that it was made.
fn id(random: &mut Rng, created_at: Timestamp) -> Result<Uuid> {
    let mut tail = [0; 10];
    random.fill(&mut tail);
    let made = u64::try_from(created_at.as_millisecond())?;
    Ok(Builder::from_unix_timestamp_millis(made, &tail).into_uuid())
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
    Ok(User {
        id: id(random, created_at)?,
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

/// The item of this number, as "Folding walnut stool 4t7bz". Its title ends with what no other has.
fn item(
    random: &mut Rng,
    number: u32,
    created_at: Timestamp,
    owner: Uuid,
    categories: &HashMap<&'static str, Uuid>,
) -> Result<Item> {
    let (category, nouns) = pick(random, &KINDS);
    let (adjective, material) = (pick(random, &ADJECTIVES), pick(random, &MATERIALS));
    let (noun, code) = (pick(random, nouns), code(number));
    let title = Title::parse(&format!("{adjective} {material} {noun} {code}"))?;
    // From 1.90 to 2,000, many of them at the same price.
    let steps = [100, 250, 1_000, 5_000];
    let price = random.i64(2..=40) * steps[random.usize(..4)] - [0, 1, 10][random.usize(..3)];
    let discount = (random.u8(..6) == 0).then(|| price * (100 - random.i64(5..=40)) / 100);
    let tags = [material, pick(random, &OCCASIONS)];
    let tags = BTreeSet::from(tags).into_iter().map(Tag::parse);
    let to_price = |minor| Price::try_from(Money::from_minor(minor));
    let remark = (random.u8(..3) == 0).then(|| pick(random, &REMARKS));
    Ok(Item {
        id: id(random, created_at)?,
        description: remark.map(Description::parse).transpose()?,
        discount_price: discount.map(to_price).transpose()?,
        tax: Percent::from_hundredths(pick(random, &[1_900, 700, 0]))?,
        category_id: categories.get(category).copied(),
        tags: tags.collect::<Result<_, _>>()?,
        stock: random.i64(0..200),
        views: random.u64(..1_000).min(random.u64(..1_000)),
        created_at,
        updated_at: created_at,
        ..Item::new(owner, title, to_price(price)?)
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

static CATEGORIES: [Wanted; 9] = [
    category("house", None, "House"),
    category("lighting", Some("house"), "Lighting"),
    category("seating", Some("house"), "Seating"),
    category("tableware", Some("house"), "Tableware"),
    category("garden", None, "Garden"),
    category("planting", Some("garden"), "Planting"),
    category("watering", Some("garden"), "Watering"),
    category("workshop", None, "Workshop"),
    category("hand-tools", Some("workshop"), "Hand tools"),
];

const fn category(slug: &'static str, parent: Option<&'static str>, name: &'static str) -> Wanted {
    Wanted {
        slug,
        parent,
        name,
        description: None,
    }
}

/// The slugs of categories, and what is in them.
const KINDS: [(&str, &[&str]); 6] = [
    ("lighting", &["lamp", "lantern", "candlestick"]),
    ("seating", &["stool", "bench", "armchair"]),
    ("tableware", &["bowl", "jug", "tray", "mug"]),
    ("planting", &["planter", "trellis", "basket"]),
    ("watering", &["fountain", "barrel", "trough"]),
    ("hand-tools", &["mallet", "plane", "clamp"]),
];

/// Each is a tag too. None is a part of another word here.
const MATERIALS: [&str; 5] = ["walnut", "copper", "birch", "stoneware", "brass"];

const ADJECTIVES: [&str; 8] = [
    "Small", "Folding", "Tall", "Plain", "Painted", "Round", "Sturdy", "Light",
];

const OCCASIONS: [&str; 5] = ["handmade", "gift", "outdoor", "classic", "clearance"];

const REMARKS: [&str; 6] = [
    "Made to last.",
    "For a quiet corner.",
    "Each one is a little different.",
    "Looks better with age.",
    "Finished by hand.",
    "Packs flat.",
];

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

    fn items(number: u32) -> Vec<Item> {
        let mut random = Rng::with_seed(SEED);
        let (end, owner) = (Timestamp::from_second(1_700_000_000).unwrap(), Uuid::nil());
        let ids = (1..).map(Uuid::from_u128);
        let categories = CATEGORIES
            .iter()
            .map(|wanted| wanted.slug)
            .zip(ids)
            .collect();
        let items = (0..number).map(|at| {
            let made = made_at(end, at, number).unwrap();
            item(&mut random, at, made, owner, &categories).unwrap()
        });
        items.collect()
    }

    #[test]
    fn items_come_again_and_keep_the_rules() {
        let found = items(5_000);
        assert_eq!(items(5_000), found);
        assert!(found.is_sorted_by(|one, next| one.id < next.id));
        let titles: BTreeSet<_> = found.iter().map(|item| item.title.as_str()).collect();
        assert_eq!(titles.len(), found.len());
        for item in &found {
            assert_eq!(item.check(), Ok(()), "{}", item.title);
            assert!(item.tags.is_sorted() && item.tags.len() == 2);
            assert!(item.category_id.is_some());
        }
        let prices: BTreeSet<_> = found.iter().map(Item::current_price).collect();
        assert!((200..4_000).contains(&prices.len()), "{}", prices.len());
    }

    /// What is measured of few items must be as much as of many.
    #[test]
    fn a_hundred_items_make_full_pages() {
        let found = items(100);
        let ids: HashMap<_, _> = CATEGORIES
            .iter()
            .map(|wanted| wanted.slug)
            .zip(1..)
            .collect();
        let count = |which: &dyn Fn(&Item) -> bool| found.iter().filter(|item| which(item)).count();
        let of_walnut = |item: &Item| item.tags.iter().any(|tag| tag.as_str() == MATERIALS[0]);
        assert!(count(&of_walnut) > 20);
        let in_house = |item: &Item| {
            let category = item.category_id.unwrap().as_u128();
            let price = item.current_price().minor();
            (ids["house"]..=ids["tableware"]).contains(&category) && (500..=50_000).contains(&price)
        };
        assert!(count(&in_house) > 20);
        assert!(count(&|item| item.views > 0) > 40);
    }

    #[test]
    fn numbers_have_different_codes() {
        let codes: BTreeSet<_> = (0..MOST).step_by(997).map(code).collect();
        assert_eq!(codes.len(), (0..MOST).step_by(997).len());
        assert_eq!(code(0), "00000");
        assert!(codes.iter().all(|code| code.len() == 5));
    }
}
