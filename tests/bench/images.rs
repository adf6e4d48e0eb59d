//! What reading, resizing and writing an image takes, and what Pillow takes for the same, in turn.
//!
//! Pillow is what most would use instead. It is looked for in the Python that the variable `PYTHON` names, in that of
//! `.ci/run`, and in `python3`; without it, this part is left out. The figures say nothing unless all is optimised:
//! `cargo test --release -p tests --test bench -- images`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};
use local::shell;
use shared::media::{self, Resize};
use shared::models::file::VariantKind;

use crate::percentile;

/// As a telephone takes it.
const SIZE: (u32, u32) = (4_000, 3_000);

/// How wide it becomes, and how good.
const WIDTH: u32 = 1_024;
const QUALITY: u8 = 85;

const PAIRS: usize = 15;

/// What is measured: which function of Pillow's does the same, and with which file.
const CASES: [(&str, &str, &str, Ours); 5] = [
    ("process", "resized", "photo.jpg", processed),
    ("make_variant", "resized", "photo.jpg", variant),
    (
        "make_variant, small",
        "thumbnail",
        "photo.jpg",
        small_variant,
    ),
    ("check, a photograph", "stored_jpeg", "photo.jpg", checked),
    ("check, a drawing", "stored_png", "drawing.png", checked),
];

/// Answers how many bytes come out.
type Ours = fn(Vec<u8>) -> usize;

fn processed(image: Vec<u8>) -> usize {
    let resize = Resize {
        width: Some(WIDTH),
        height: None,
        quality: QUALITY,
    };
    media::process(image, &resize).unwrap().bytes.len()
}

fn variant(image: Vec<u8>) -> usize {
    made(&image, WIDTH)
}

fn small_variant(image: Vec<u8>) -> usize {
    made(&image, 256)
}

fn made(image: &[u8], side: u32) -> usize {
    let kind = VariantKind {
        name: "",
        side,
        is_square: false,
    };
    media::make_variant(image, &kind).unwrap().bytes.len()
}

fn checked(image: Vec<u8>) -> usize {
    media::check_image(image).unwrap().bytes.len()
}

/// `thumbnail` lets the decoder make a fourth of the pixels in each direction at once, which ours cannot.
const PILLOW: &str = r#"
import io, sys, time
from PIL import Image, ImageOps

def written(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return len(file.getvalue())

def resized(image):
    image.load()
    height = round(image.height * 1024 / image.width)
    return written(image.resize((1024, height), Image.Resampling.LANCZOS), "JPEG", quality=85)

def thumbnail(image):
    image.thumbnail((256, 256), Image.Resampling.LANCZOS)
    return written(image, "JPEG", quality=85)

def stored_jpeg(image):
    return written(ImageOps.exif_transpose(image), "JPEG", quality=90)

def stored_png(image):
    return written(ImageOps.exif_transpose(image), "PNG")

photo = Image.open(sys.argv[1] + "/photo.ppm")
photo.save(sys.argv[1] + "/photo.jpg", quality=90)
photo.point(lambda value: value & 0xf0).save(sys.argv[1] + "/drawing.png")
print("ready", flush=True)

for line in sys.stdin:
    work, name = line.split()
    with open(sys.argv[1] + "/" + name, "rb") as file:
        file = io.BytesIO(file.read())
    begun = time.perf_counter_ns()
    size = globals()[work](Image.open(file))
    print(time.perf_counter_ns() - begun, size, flush=True)
"#;

pub(crate) fn measure() {
    println!();
    let Some(python) = python() else {
        println!("images: left out, because there is no Python with Pillow");
        return;
    };
    if cfg!(debug_assertions) {
        println!("images: these figures say nothing, because this is not optimised");
    }
    let folder = tempfile::tempdir().unwrap();
    make_photo(folder.path());
    let mut pillow = Pillow::start(&python, folder.path());
    let (width, height) = SIZE;
    println!("images of {width} by {height}, {PAIRS} pairs");
    println!(
        "work                  p50 ms/MP ours  Pillow's  median of ratios, least, most  bytes ours  Pillow's"
    );
    for (work, theirs, name, ours) in CASES {
        let file = std::fs::read(folder.path().join(name)).unwrap();
        let mut took = [Vec::new(), Vec::new()];
        let mut sizes = [0; 2];
        for pair in 0..PAIRS {
            // The first of a pair changes, in case being the first costs something.
            for turn in [pair % 2, 1 - pair % 2] {
                let (spent, size) = match turn {
                    0 => timed(file.clone(), ours),
                    _ => pillow.timed(theirs, name),
                };
                took[turn].push(spent);
                sizes[turn] = size;
            }
        }
        let [mut of_ours, mut of_pillow] = took;
        let mut ratios: Vec<_> = of_ours
            .iter()
            .zip(&of_pillow)
            .map(|(ours, pillow)| ours.as_secs_f64() / pillow.as_secs_f64())
            .collect();
        ratios.sort_by(f64::total_cmp);
        let per_megapixel = |times: &mut [Duration]| {
            percentile(times, 50).as_secs_f64() * 1e9 / f64::from(width * height)
        };
        println!(
            "{work:21} {:15.2} {:9.2} {:17.2} {:6.2} {:5.2} {:11} {:9}",
            per_megapixel(&mut of_ours),
            per_megapixel(&mut of_pillow),
            ratios[PAIRS / 2],
            ratios[0],
            ratios[PAIRS - 1],
            sizes[0],
            sizes[1],
        );
    }
}

fn timed(file: Vec<u8>, ours: Ours) -> (Duration, usize) {
    let begun = Instant::now();
    let size = ours(file);
    (begun.elapsed(), size)
}

/// A Python that knows Pillow.
fn python() -> Option<PathBuf> {
    let of_ci = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/ci-tools/bin/python");
    let named = shell::variable("PYTHON").map(PathBuf::from);
    let mut pythons = named.into_iter().chain([of_ci, "python3".into()]);
    pythons.find(|python| {
        let import = Command::new(python).args(["-c", "import PIL"]).output();
        import.is_ok_and(|import| import.status.success())
    })
}

/// Something like a photograph: soft light, some edges, and the noise of a sensor. Pillow makes a JPEG of it, with half
/// the resolution of colours, as telephones do; and a PNG of few colours, because with all of them it would be larger
/// than what is taken.
fn make_photo(folder: &Path) {
    let mut random = fastrand::Rng::with_seed(7);
    let (width, height) = SIZE;
    let photo = RgbImage::from_fn(width, height, |x, y| {
        let (across, down) = (x as f32 / width as f32, y as f32 / height as f32);
        let light = [
            120.0 + 80.0 * (across * 9.0).sin(),
            110.0 + 90.0 * (down * 7.0 + across * 3.0).cos(),
            100.0 + 70.0 * ((across + down) * 11.0).sin(),
        ];
        let noise = random.f32() * 8.0;
        let edge = if ((x / 97) ^ (y / 61)) % 8 == 0 {
            50.0
        } else {
            0.0
        };
        Rgb(light.map(|channel| (channel + edge + noise) as u8))
    });
    let header = format!("P6 {width} {height} 255\n");
    let file = [header.as_bytes(), photo.as_raw()].concat();
    std::fs::write(folder.join("photo.ppm"), file).unwrap();
}

/// A Python that does what it is told, line by line.
struct Pillow {
    process: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Pillow {
    fn start(python: &Path, folder: &Path) -> Self {
        let mut process = Command::new(python)
            .args(["-c", PILLOW])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pillow = Self {
            to: process.stdin.take(),
            from: BufReader::new(process.stdout.take().unwrap()),
            process,
        };
        assert_eq!(pillow.line(), "ready");
        pillow
    }

    fn timed(&mut self, work: &str, name: &str) -> (Duration, usize) {
        writeln!(self.to.as_mut().unwrap(), "{work} {name}").unwrap();
        let answer = self.line();
        let (nanos, size) = answer.split_once(' ').unwrap();
        (
            Duration::from_nanos(nanos.parse().unwrap()),
            size.parse().unwrap(),
        )
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Pillow {
    fn drop(&mut self) {
        // It ends when there are no more lines.
        self.to = None;
        let _ = self.process.wait();
    }
}
