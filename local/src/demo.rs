//! The shop that `cargo dev --seed-demo` opens, so that there is something to look at: an outfitter for people who go
//! where no road goes.
//!
//! What is made has the same id each time. So what is there already is left alone, and a start that was interrupted is
//! completed by the next one.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use shared::App;
use shared::auth::passwords;
use shared::models::User;
use shared::models::audit::AuditEntry;
use shared::models::category::{Category, CategoryName, Slug};
use shared::models::item::{Description, Item, ItemStatus, Tag, Title};
use shared::models::money::{Money, Percent, Price};
use shared::models::text::{Email, Name};
use uuid::{Builder, Uuid};

use crate::superuser;

/// Whose shop it is.
pub const OWNER: &str = "shop@example.com";

/// The last article came in then, in seconds since the epoch, and the first one at most so long before.
const LATEST: i64 = 1_740_992_400;
const SPAN: u32 = 10 * 7 * 24 * 3_600;

/// Somebody who owns a shop.
#[derive(Debug)]
pub struct Owner {
    pub id: Uuid,
    /// Only if the account was made just now; nothing else ever tells it.
    pub password: Option<String>,
}

/// What was made of the shop, and what there is of it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stocked {
    pub categories: usize,
    pub items: usize,
    pub new_items: usize,
}

impl fmt::Display for Stocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            categories,
            items,
            new_items,
        } = *self;
        write!(f, "{items} items in {categories} categories")?;
        match new_items {
            0 => f.write_str(", nothing was missing"),
            new if new < items => write!(f, ", {new} items new"),
            _ => Ok(()),
        }
    }
}

/// The owner of the shop, who is made with a made-up password if nobody has that address.
pub async fn owner(app: &App) -> Result<Owner> {
    let email = Email::parse(OWNER)?;
    if let Some(user) = app.store.user_by_email(&email).await? {
        return Ok(Owner {
            id: user.id,
            password: None,
        });
    }
    let password = superuser::made_up_password()?;
    let hash = passwords::hash(&password).await?;
    let user = User {
        full_name: Some(Name::parse("Halfmoon Outfitters")?),
        is_verified: true,
        ..User::new(email)
    };
    let audit = AuditEntry::new("user.created_for_demo", None, "local");
    let made = app.store.create_account(&user, &hash, &audit).await;
    made.context("the owner of the demo could not be made")?;
    Ok(Owner {
        id: user.id,
        password: Some(password),
    })
}

/// Makes what the shop has not got yet of its categories and items. What finds them follows by tasks, as always.
pub async fn stock(app: &App, owner: Uuid) -> Result<Stocked> {
    let shelves = SHELVES.iter().map(|shelf| &shelf.category);
    let categories = categories(app, owner, shelves).await?;
    let mut views = HashMap::new();
    let (mut items, mut new_items) = (0, 0);
    for shelf in &SHELVES {
        for article in shelf.articles {
            let item = item(article, owner, categories[shelf.category.slug])?;
            items += 1;
            if app.store.item(item.id).await?.is_some() {
                continue;
            }
            let audit = AuditEntry::new("item.created", Some(owner), "local").about(item.id);
            let made = app.store.create_item(&item, &audit).await;
            made.with_context(|| format!("`{}` could not be made", article.title))?;
            views.extend((article.views > 0).then_some((item.id, article.views)));
            new_items += 1;
        }
    }
    app.store.add_views(&views).await?;
    Ok(Stocked {
        categories: categories.len(),
        items,
        new_items,
    })
}

/// A category that is to be there.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) slug: &'static str,
    /// The slug of one that comes before it.
    pub(crate) parent: Option<&'static str>,
    pub(crate) name: &'static str,
    pub(crate) description: Option<&'static str>,
}

impl Wanted {
    fn category(&self, parent_id: Option<Uuid>) -> Result<Category> {
        let (name, slug) = (CategoryName::parse(self.name)?, Slug::parse(self.slug)?);
        Ok(Category {
            description: self.description.map(Description::parse).transpose()?,
            parent_id,
            ..Category::new(name, slug)
        })
    }
}

/// Makes those categories that are not there, and answers the ids of all by their slugs.
pub(crate) async fn categories(
    app: &App,
    actor: Uuid,
    wanted: impl Iterator<Item = &'static Wanted>,
) -> Result<HashMap<&'static str, Uuid>> {
    let mut found = HashMap::new();
    for wanted in wanted {
        let (tree, version) = app.store.categories().await?;
        if let Some(category) = tree.find(wanted.slug) {
            found.insert(wanted.slug, category.id);
            continue;
        }
        let parent = wanted.parent.map(|parent| found[parent]);
        let category = wanted.category(parent)?;
        if let Err(problem) = tree.check(&category) {
            bail!("the category {} cannot be made: {problem:?}", wanted.name);
        }
        let audit = AuditEntry::new("category.created", Some(actor), "local").about(category.id);
        let save = app.store.save_category(version, None, &category, &audit);
        save.await
            .with_context(|| format!("the category {} could not be made", wanted.name))?;
        found.insert(wanted.slug, category.id);
    }
    Ok(found)
}

fn item(article: &Article, owner: Uuid, category: Uuid) -> Result<Item> {
    let (id, created_at) = identity(article.title)?;
    let price = |minor| Price::try_from(Money::from_minor(minor));
    let tags = BTreeSet::from_iter(article.tags);
    let tags = tags.into_iter().map(|tag| Tag::parse(tag));
    Ok(Item {
        id,
        description: Some(Description::parse(article.description)?),
        discount_price: article.reduced.map(price).transpose()?,
        tax: Percent::from_hundredths(article.tax)?,
        status: article.status,
        category_id: Some(category),
        tags: tags.collect::<Result<_, _>>()?,
        stock: article.stock,
        is_featured: article.is_featured,
        created_at,
        updated_at: created_at,
        ..Item::new(owner, Title::parse(article.title)?, price(article.price)?)
    })
}

/// The id of an article, the same each time, and the time that is in it.
fn identity(title: &str) -> Result<(Uuid, Timestamp)> {
    let mut seed = [0; 14];
    seed.copy_from_slice(&digest(&SHA256, title.as_bytes()).as_ref()[..14]);
    let [a, b, c, d, tail @ ..] = seed;
    let before = u32::from_be_bytes([a, b, c, d]) % SPAN;
    let made = Timestamp::from_second(LATEST - i64::from(before))?;
    let millis = u64::try_from(made.as_millisecond())?;
    let id = Builder::from_unix_timestamp_millis(millis, &tail).into_uuid();
    Ok((id, made))
}

/// A category with what is in it.
struct Shelf {
    category: Wanted,
    articles: &'static [Article],
}

/// An item as it is written below.
#[derive(Clone, Copy)]
struct Article {
    title: &'static str,
    /// In minor units.
    price: i64,
    reduced: Option<i64>,
    /// In hundredths of a percent.
    tax: u16,
    stock: i64,
    views: u64,
    tags: &'static [&'static str],
    description: &'static str,
    status: ItemStatus,
    is_featured: bool,
}

/// An article that is for sale, at 19 percent tax.
const fn article(
    title: &'static str,
    price: i64,
    stock: i64,
    views: u64,
    tags: &'static [&'static str],
    description: &'static str,
) -> Article {
    Article {
        title,
        price,
        reduced: None,
        tax: 1_900,
        stock,
        views,
        tags,
        description,
        status: ItemStatus::Active,
        is_featured: false,
    }
}

impl Article {
    const fn reduced_to(self, price: i64) -> Self {
        Self {
            reduced: Some(price),
            ..self
        }
    }

    /// Food and books are taxed at 7 percent.
    const fn at_low_tax(self) -> Self {
        Self { tax: 700, ..self }
    }

    const fn featured(self) -> Self {
        Self {
            is_featured: true,
            ..self
        }
    }

    const fn not_for_sale(self, status: ItemStatus) -> Self {
        Self { status, ..self }
    }
}

const fn shelf(
    slug: &'static str,
    parent: Option<&'static str>,
    name: &'static str,
    description: &'static str,
    articles: &'static [Article],
) -> Shelf {
    Shelf {
        category: Wanted {
            slug,
            parent,
            name,
            description: Some(description),
        },
        articles,
    }
}

/// Each after its parent.
static SHELVES: [Shelf; 12] = [
    shelf(
        "shelter",
        None,
        "Shelter",
        "Whatever stands between you and the night.",
        SHELTER,
    ),
    shelf(
        "tents",
        Some("shelter"),
        "Tents",
        "From one person in summer to eight around a stove.",
        TENTS,
    ),
    shelf(
        "sleeping",
        Some("shelter"),
        "Sleeping bags and mats",
        "Warm below, warm above, and quiet when you turn over.",
        SLEEPING,
    ),
    shelf(
        "packs",
        None,
        "Packs and bags",
        "What you carry, and what you carry it in.",
        PACKS,
    ),
    shelf(
        "camp-kitchen",
        None,
        "Camp kitchen",
        "Hot things in cold places.",
        CAMP_KITCHEN,
    ),
    shelf(
        "stoves",
        Some("camp-kitchen"),
        "Stoves",
        "Gas, paraffin, or whatever lies around.",
        STOVES,
    ),
    shelf(
        "provisions",
        Some("camp-kitchen"),
        "Provisions",
        "Food that keeps, for people who are hungry.",
        PROVISIONS,
    ),
    shelf(
        "wayfinding",
        None,
        "Wayfinding",
        "Where you are, where you are going, and what the weather thinks of it.",
        &[],
    ),
    shelf(
        "maps-and-books",
        Some("wayfinding"),
        "Maps and books",
        "Paper that has been out in the rain.",
        MAPS_AND_BOOKS,
    ),
    shelf(
        "instruments",
        Some("wayfinding"),
        "Instruments",
        "They need no battery, no signal and no subscription. One of them does.",
        INSTRUMENTS,
    ),
    shelf(
        "clothing",
        None,
        "Clothing",
        "Worn by people who were outside when it was made.",
        CLOTHING,
    ),
    shelf(
        "light-and-fire",
        None,
        "Light and fire",
        "For the hours after four in the afternoon.",
        LIGHT_AND_FIRE,
    ),
];

const SHELTER: &[Article] = &[article(
    "Bothy bag for six",
    6_450,
    40,
    233,
    &["group", "safety", "four-season"],
    "Not a tent: a bag with a window, under which six people eat their sandwiches while it \
             hails. Packs to the size of a melon and has ended many arguments.",
)];

const TENTS: &[Article] = &[
    article(
        "Larkspur 2 tent",
        34_900,
        18,
        1_812,
        &["ultralight", "three-season"],
        "Two people, two doors, and no discussion about who gets up first. 1.4 kg, pitched in \
                 four minutes by anyone who has practised once.",
    )
    .reduced_to(29_900)
    .featured(),
    article(
        "Stormcock geodesic tent",
        89_900,
        5,
        640,
        &["expedition", "four-season"],
        "Five poles and eleven crossings. It stood through a night on the Cairngorm plateau \
                 that its designers would rather have spent elsewhere.",
    ),
    article(
        "Canvas hot tent with stove jack",
        124_000,
        2,
        518,
        &["canvas", "group", "winter"],
        "Heavy, square and dry, with a sleeve for the chimney. Comes by sledge, not by \
                 rucksack.",
    ),
    article(
        "Tarp, three by four metres",
        12_900,
        27,
        301,
        &["ultralight", "repairable"],
        "A roof without opinions about walls. Nineteen loops, so that there is always one \
                 where the tree is.",
    ),
];

const SLEEPING: &[Article] = &[
    article(
        "Eider 900 sleeping bag",
        52_000,
        12,
        1_433,
        &["down", "ultralight", "winter"],
        "Goose down of known geese, comfortable at twelve below zero. Packs to the size of a \
                 loaf.",
    )
    .reduced_to(45_900)
    .featured(),
    article(
        "Drover wool sleeping bag",
        18_900,
        25,
        377,
        &["three-season", "wool"],
        "Warm when damp, silent at night, and it smells faintly of sheep. Sheep have never \
                 complained of the cold.",
    ),
    article(
        "Folding foam mat",
        2_490,
        120,
        690,
        &["classic"],
        "It cannot be punctured and need not be inflated, and it has been on every trip \
                 since 1978.",
    ),
    article(
        "Featherstep air mat",
        13_900,
        33,
        455,
        &["three-season", "ultralight"],
        "Seven centimetres of air between you and the roots. The patch kit is in the stuff \
                 sack, where you will find it in the dark.",
    )
    .reduced_to(11_900),
];

const PACKS: &[Article] = &[
    article(
        "Packhorse 65 rucksack",
        22_900,
        21,
        988,
        &["expedition", "repairable"],
        "Carries twenty-two kilos without complaint. The hip belt does the work, and the frame \
                 takes the credit.",
    ),
    article(
        "Swift 22 daypack",
        7_900,
        64,
        702,
        &["ultralight"],
        "For a map, a jumper, lunch, and the stone that somebody will want to bring home.",
    ),
    article(
        "Waxed canvas duffel, 90 litres",
        16_500,
        14,
        419,
        &["canvas", "expedition", "repairable"],
        "Thrown onto roofs, decks and yaks. Each dent has a story; wax it once a year.",
    ),
    article(
        "Dry bags, set of three",
        3_600,
        85,
        350,
        &["safety"],
        "Five, ten and twenty litres in three colours, so that you know which of them holds \
                 the socks.",
    ),
    article(
        "Folding kayak, second series",
        189_000,
        0,
        0,
        &["expedition"],
        "Not for sale yet. It unfolds in nine minutes; we are still looking for the person \
                 who can fold it back.",
    )
    .not_for_sale(ItemStatus::Draft),
];

const CAMP_KITCHEN: &[Article] = &[
    article(
        "Enamel kettle, 1.2 litres",
        2_850,
        48,
        267,
        &["classic", "group"],
        "Chips, but does not break. The lid stays on while you pour, which is rarer than it \
                 should be.",
    ),
    article(
        "Titanium mug, 450 ml",
        3_400,
        0,
        871,
        &["titanium", "ultralight"],
        "Weighs less than the tea in it. Sold out until the next boat.",
    ),
];

const STOVES: &[Article] = &[
    article(
        "Primula pressure stove",
        11_900,
        9,
        563,
        &["brass", "classic", "repairable"],
        "Brass, paraffin and a little patience. Your grandmother could mend it, and so can \
                 you.",
    ),
    article(
        "Gnat gas burner",
        4_200,
        76,
        1_120,
        &["titanium", "ultralight"],
        "48 grams. Boils a litre in three minutes, and folds into the pot it boils.",
    )
    .reduced_to(3_570),
    article(
        "Twig stove",
        5_900,
        30,
        344,
        &["repairable"],
        "Burns what lies around: no fuel to carry, and none to run out of.",
    ),
];

const PROVISIONS: &[Article] = &[
    article(
        "Pea soup for the third day",
        680,
        210,
        189,
        &["food"],
        "On the first day nobody wants it. Add half a litre of hot water and wait eight \
                 minutes.",
    )
    .at_low_tax(),
    article(
        "Ship's biscuit, twelve pieces",
        540,
        160,
        402,
        &["classic", "food"],
        "Flour, water, salt and time. Soak before use, or use as tent pegs.",
    )
    .at_low_tax(),
    article(
        "Cardamom oat bars, box of ten",
        1_890,
        95,
        276,
        &["food"],
        "Bend at twenty degrees and can still be bitten at ten below zero. We have tried.",
    )
    .at_low_tax(),
    article(
        "Black tea in a tin",
        950,
        130,
        318,
        &["food", "gift"],
        "Strong enough for snow melt. The tin later holds matches, hooks and one letter.",
    )
    .at_low_tax(),
];

const MAPS_AND_BOOKS: &[Article] = &[
    article(
        "Sea chart of the Inner Hebrides",
        3_100,
        22,
        295,
        &["gift", "paper"],
        "Soundings in metres, tides on the back, and one rock that was found by our own keel.",
    )
    .at_low_tax(),
    article(
        "Field notebook, waterproof",
        1_290,
        140,
        523,
        &["gift", "paper"],
        "96 pages that take pencil under water. What you write there is your affair.",
    )
    .at_low_tax(),
    article(
        "Knots for cold hands",
        1_600,
        58,
        611,
        &["paper", "safety"],
        "Fourteen knots, each drawn as it looks in mittens and by the light of a headlamp.",
    )
    .at_low_tax(),
    article(
        "Reading clouds",
        2_200,
        37,
        384,
        &["gift", "paper"],
        "Forty photographs of the same valley, each with what happened six hours later.",
    )
    .at_low_tax()
    .reduced_to(1_800),
];

const INSTRUMENTS: &[Article] = &[
    article(
        "Brass sextant",
        148_000,
        1,
        1_954,
        &["brass", "gift", "handmade"],
        "Made one at a time in Bremen, with its certificate and a box that closes with a \
                 click. Finds you within a mile, weather permitting.",
    )
    .featured(),
    article(
        "Sighting compass",
        7_400,
        44,
        577,
        &["classic", "safety"],
        "Half a degree, if you hold your breath. Declination is set with a key that hangs on \
                 the cord.",
    ),
    article(
        "Pocket barometer",
        11_800,
        16,
        330,
        &["brass", "gift"],
        "Falls before the rain does. Also an altimeter, for those who know where they started.",
    ),
    article(
        "Monocular 8 × 32",
        14_500,
        19,
        248,
        &["safety"],
        "One eye on the bird, one eye on the path.",
    ),
    article(
        "Avalanche transceiver",
        29_900,
        11,
        466,
        &["safety", "winter"],
        "Three antennas and one large button. Practise with it where you hope not to need it.",
    )
    .reduced_to(26_900),
];

const CLOTHING: &[Article] = &[
    article(
        "Guernsey jumper",
        14_900,
        31,
        940,
        &["classic", "handmade", "wool"],
        "Knitted so tight that it stands up by itself. Front and back are the same, so it can \
                 be put on in the dark.",
    )
    .featured(),
    article(
        "Anorak with storm flap",
        25_900,
        17,
        735,
        &["four-season", "repairable"],
        "Goes over everything, including the argument whether to turn back.",
    )
    .reduced_to(21_900),
    article(
        "Merino base layer",
        6_900,
        88,
        808,
        &["wool"],
        "Can be worn for nine days. The tenth is up to your friends.",
    ),
    article(
        "Boiled wool mittens",
        4_400,
        52,
        289,
        &["handmade", "winter", "wool"],
        "Felted until the wind gives up. On a cord, because you are not a child and will lose \
                 them anyway.",
    ),
    article(
        "Long-haul socks, three pairs",
        3_900,
        150,
        662,
        &["gift", "repairable", "wool"],
        "We darn them free of charge for as long as there is some sock left.",
    ),
    article(
        "Sou'wester",
        5_200,
        24,
        214,
        &["classic"],
        "Keeps the rain off the neck and the conversation short.",
    ),
    article(
        "Reindeer-hide boots",
        32_000,
        0,
        0,
        &["handmade", "winter"],
        "The last person who made them has retired. We keep the page in case he changes his \
                 mind.",
    )
    .not_for_sale(ItemStatus::Inactive),
];

const LIGHT_AND_FIRE: &[Article] = &[
    article(
        "Headlamp with red light",
        5_490,
        70,
        531,
        &["safety"],
        "Red for the map and for peace in the tent. 400 lumens for what is breathing over \
                 there.",
    ),
    article(
        "Storm lantern",
        4_700,
        36,
        443,
        &["brass", "classic", "gift"],
        "Burns for twenty hours on a filling, and goes on burning while it is carried at a run.",
    ),
    article(
        "Fire steel with birch handle",
        1_950,
        110,
        405,
        &["gift", "handmade"],
        "Three thousand sparks, most of them in the right direction.",
    ),
    article(
        "Beeswax candles, a dozen",
        2_100,
        66,
        172,
        &["gift", "handmade"],
        "Two evenings each. They smell of the summer that you will miss up there.",
    ),
];

#[cfg(test)]
mod tests {
    use shared::models::category::Tree;

    use super::*;

    fn items() -> Vec<Item> {
        let (owner, category) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let articles = SHELVES.iter().flat_map(|shelf| shelf.articles);
        let items = articles.map(|article| item(article, owner, category).unwrap());
        items.collect()
    }

    #[test]
    fn what_is_written_here_keeps_the_rules() {
        for item in items() {
            assert_eq!(item.check(), Ok(()), "{}", item.title);
            assert!(item.tags.is_sorted(), "{}", item.title);
            assert!(item.stock >= 0, "{}", item.title);
        }
    }

    #[test]
    fn the_shelves_make_a_tree() {
        let mut made: Vec<Category> = Vec::new();
        for Shelf { category, .. } in &SHELVES {
            let tree = Tree::new(made.clone());
            let parent = category.parent.map(|slug| tree.find(slug).unwrap().id);
            let category = category.category(parent).unwrap();
            assert_eq!(tree.check(&category), Ok(()), "{}", category.name);
            made.push(category);
        }
    }

    #[test]
    fn ids_come_again_and_differ() {
        let ids: Vec<_> = items().iter().map(|item| item.id).collect();
        let again: Vec<_> = items().iter().map(|item| item.id).collect();
        assert_eq!(ids, again);
        assert_eq!(BTreeSet::from_iter(&ids).len(), ids.len());
        for item in items() {
            let (seconds, nanos) = item.id.get_timestamp().unwrap().to_unix();
            let at = Timestamp::new(seconds.cast_signed(), nanos.cast_signed()).unwrap();
            assert_eq!(at, item.created_at);
        }
    }

    #[test]
    fn there_is_something_of_everything() {
        let items = items();
        let count = |which: fn(&Item) -> bool| items.iter().filter(|item| which(item)).count();
        assert_eq!(count(|item| item.status == ItemStatus::Draft), 1);
        assert_eq!(count(|item| item.status == ItemStatus::Inactive), 1);
        assert_eq!(count(|item| item.is_featured), 4);
        assert!(count(|item| item.discount_price.is_some()) >= 5);
        assert!(count(|item| item.stock == 0 && item.status == ItemStatus::Active) >= 1);
        // Two pages, so that there is something to turn over.
        assert!((40..=60).contains(&items.len()), "{}", items.len());
    }
}
