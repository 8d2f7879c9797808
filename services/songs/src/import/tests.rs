use std::io::Cursor;

use super::*;
use crate::song::Song;

type Read = (u64, Result<Song, String>);

fn read(file: &str) -> Result<Vec<Read>, String> {
    let mut records = Records::open(Cursor::new(file)).map_err(|it| it.to_string())?;
    let mut lines = Vec::new();
    while let Some(line) = records.next().map_err(|it| it.to_string())? {
        let told =
            |wrong: Vec<_>| wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        lines.push((line.number, line.song.map_err(told)));
    }
    Ok(lines)
}

/// Line, title and artist of each record.
fn titles(file: &str) -> Vec<(u64, String, String)> {
    let lines = read(file).unwrap();
    lines
        .into_iter()
        .map(|(line, song)| song.map(|it| (line, it.title, it.artist)).unwrap())
        .collect()
}

fn duration(text: &str) -> Result<Option<i64>, String> {
    let file = format!("title,artist,duration\nT,A,{text}\n");
    read(&file).unwrap().remove(0).1.map(|song| song.duration_ms)
}

#[test]
fn a_line_is_the_physical_one_on_which_the_record_begins() {
    let records = |at: [u64; 3]| {
        ["one", "two\nlines", "three"]
            .into_iter()
            .zip(at)
            .map(|(title, line)| (line, title.to_owned(), "A".to_owned()))
            .collect::<Vec<_>>()
    };
    let file =
        |line_break: &str| "title,artist|one,A|||\"two\nlines\",A|three,A".replace('|', line_break);
    for line_break in ["\n", "\r\n", "\r"] {
        assert_eq!(titles(&file(line_break)), records([2, 5, 7]), "{line_break:?}");
    }
    assert_eq!(titles("\n\r\ntitle,artist\n\none,A\n")[0].0, 5);
}

#[test]
fn many_records_keep_their_lines_across_the_readers_buffer() {
    let mut file = String::from("\u{feff}title,artist,note\r\n");
    for number in 0..20_000 {
        file.push_str(&format!("t{number},a,\"two\r\nlines\"\r\n"));
    }
    let lines = read(&file).unwrap();
    assert_eq!(lines.len(), 20_000);
    assert!(lines.iter().zip(1..).all(|((line, _), number)| *line == number * 2));
}

#[test]
fn columns_have_the_names_that_real_lists_give_them() {
    let song = |title: &str, artist: &str, album: &str, genre: &str, duration_ms| {
        let [title, artist, album, genre] = [title, artist, album, genre].map(str::to_owned);
        vec![(2, Ok(Song { title, artist, album, genre, duration_ms }))]
    };
    let full = song("T", "A", "B", "g", Some(5));
    assert_eq!(
        read("genre,TITLE,popularity,Artist,album,duration_ms\ng,T,99,A,B,5\n").unwrap(),
        full
    );
    assert_eq!(
        read(
            "Spotify ID,\"Track Name\",Album Name,Artist Name(s),Duration (ms),Genre\nx,T,B,A,5,g\n"
        )
        .unwrap(),
        full
    );
    assert_eq!(
        read("\u{feff}\"track\" ;artist; Album ;genre;duration\nT;A;B;g;5\n").unwrap(),
        full
    );
    assert_eq!(read("title\tartist\nT, too\tA\n").unwrap(), song("T, too", "A", "", "", None));
    assert_eq!(read("title,artist\n").unwrap(), []);
}

#[test]
fn a_file_that_cannot_be_understood_says_what_to_do() {
    let refused = |file: &str| read(file).unwrap_err();
    assert!(refused("").starts_with("the file is empty"), "{}", refused(""));
    assert!(refused("\r\n\n").starts_with("the file is empty"));
    assert_eq!(
        refused("playlist;title;id\n"),
        "the header has no column for artist; it has \"playlist\", \"title\", \"id\", divided by comma, semicolon or tab as \
         the header is"
    );
    assert!(refused("a,b\n").contains("no column for title and artist; it has \"a\", \"b\""));

    let open = |bytes: &'static [u8]| Records::open(Cursor::new(bytes)).unwrap_err().to_string();
    assert!(
        open(b"\xff\xfet\0i\0").contains("UTF-16") && open(b"\xfe\xff\0t\0i").contains("UTF-16")
    );
    let latin: &[u8] = b"title,artist\nT,A\n\nBeyonc\xe9,B\n";
    let wrong = Records::open(Cursor::new(latin)).unwrap().check(9).unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "line 4 is not UTF-8; save the file as \"CSV UTF-8\" and send it again"
    );
    // A character that only comes into being when the delimiter between its halves is taken out.
    let split: &[u8] = b"title,artist\nT\xc3,\xa9A\n";
    assert!(Records::open(Cursor::new(split)).unwrap().check(9).is_err());
}

#[test]
fn a_record_that_is_refused_names_every_field_with_its_limit() {
    let long = "x".repeat(301);
    let file = format!(
        "title,artist,album,genre,duration_ms\n\
         ,A,,,\n\
         T\n\
         {long},{long},{long},{},-5\n\
         T,A,,,86400001\n\
         a\0b,A,,,\n\
         T,A,,,,,extra columns do not matter\n\
         \"never closed,A\n",
        &long[..101]
    );
    let lines = read(&file).unwrap();
    let told: Vec<_> =
        lines.iter().map(|(line, song)| (*line, song.as_ref().err().map(String::as_str))).collect();
    assert_eq!(
        told,
        [
            (2, Some("title must not be empty")),
            (3, Some("artist must not be empty")),
            (
                4,
                Some(
                    "title must have 300 characters at most, not 301; artist must have 300 characters at most, not 301; album must \
             have 300 characters at most, not 301; genre must have 100 characters at most, not 101; duration_ms must be 0 to \
             86400000 milliseconds"
                )
            ),
            (5, Some("duration_ms must be 0 to 86400000 milliseconds")),
            (6, Some("title must have no control characters")),
            (7, None),
            (8, Some("artist must not be empty")),
        ]
    );
}

#[test]
fn durations_are_milliseconds_or_clock_times() {
    for (text, expected) in [
        ("", None),
        (" 0 ", Some(0)),
        ("194754", Some(194_754)),
        ("194754.0", Some(194_754)),
        ("3:14", Some(194_000)),
        ("1:02:03", Some(3_723_000)),
        ("90:00", Some(5_400_000)),
    ] {
        assert_eq!(duration(text), Ok(expected), "{text:?}");
    }
    for wrong in [
        "-1",
        "1.5",
        "1e3",
        "NaN",
        "three",
        "3:7",
        "3:60",
        ":30",
        "1:2:3:4",
        "-3:14",
        "٣",
        "99999999999999999999",
        "2000:00",
    ] {
        assert!(duration(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_batch_ends_after_a_thousand_records_and_knows_doubles_within() {
    let mut file = String::from("title,artist\n");
    for number in 0..1_500 {
        file.push_str(&format!("Song {},Á\n", number % 1_200));
    }
    file.push_str(" sONG 0 ,A\u{301}\n,nobody\n");
    let records = Records::open(Cursor::new(file)).unwrap();
    let (records, mut first) = Batch::read(records).unwrap();
    let (_, mut second) = Batch::read(records).unwrap();
    assert!(
        first
            .songs
            .iter()
            .map(|it| &it.title)
            .eq(&(0..1_000).map(|it| format!("Song {it}")).collect::<Vec<_>>())
    );
    let added = |added| Taken { added, created: 7 };
    first.book(1_000, added(1_000));
    let different = second.songs.len() as u64;
    second.book(different, added(200)); // the others, the database says, are there
    let told = |it: &Batch| (it.rows, it.added, it.already, it.refused.len(), it.last);
    assert_eq!(told(&first), (1_000, 1_000, 0, 0, false));
    assert_eq!(told(&second), (502, 200, 301, 1, true));
}
