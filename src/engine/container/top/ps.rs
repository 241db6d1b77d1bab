//! The words behind `top CONTAINER`: Podman's descriptors, or options of ps(1), which Docker's users give.

use super::columns::{Column, DEFAULT, DESCRIPTORS, FIELDS, find};
use crate::error::{Error, Result};

/// Columns with their headings.
type Columns = Vec<(&'static Column, String)>;

/// What `words` ask for.
pub(super) fn columns(words: &[String]) -> Result<Columns> {
    if words.is_empty() {
        return Ok(DEFAULT.iter().filter_map(|name| find(DESCRIPTORS, name)).map(own_heading).collect());
    }
    let names: Vec<&str> =
        words.iter().flat_map(|word| word.split([',', ' '])).filter(|name| !name.is_empty()).collect();
    let descriptors: Option<Columns> = names.iter().map(|name| find(DESCRIPTORS, name).map(own_heading)).collect();
    if let Some(columns) = descriptors.filter(|columns| !columns.is_empty()) {
        return Ok(columns);
    }
    options(words)
}

fn own_heading(column: &'static Column) -> (&'static Column, String) {
    (column, column.heading.to_owned())
}

/// Options of ps(1). All processes of the container are shown whatever they select.
fn options(words: &[String]) -> Result<Columns> {
    let mut columns = Columns::new();
    let mut format = None;
    let mut words = words.iter().flat_map(|word| word.split_ascii_whitespace());
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--") {
            match long.split_once('=') {
                Some(("format", list)) => fields(&mut columns, list)?,
                None if long == "format" => fields(&mut columns, words.next().unwrap_or_default())?,
                _ => return Err(unknown(word)),
            }
            continue;
        }
        let (dash, letters) = match word.strip_prefix('-') {
            Some(letters) => (true, letters),
            None => (false, word),
        };
        for (at, letter) in letters.char_indices() {
            match (dash, letter) {
                (_, 'o') => {
                    let list = &letters[at + 1..];
                    fields(&mut columns, if list.is_empty() { words.next().unwrap_or_default() } else { list })?;
                    break;
                }
                // Which processes, and how wide.
                (true, 'e' | 'A' | 'a' | 'x' | 'd' | 'N' | 'w' | 'y') | (false, 'a' | 'x' | 'w' | 'e' | 'f') => {}
                (true, 'f' | 'F') => {
                    format = Some("user=UID,pid,ppid,c,stime=STIME,tty,time,args=CMD");
                }
                (true, 'l') => format = Some("s=S,uid,pid,ppid,c,ni,vsz=SZ,tty,time,comm=CMD"),
                (true, 'j') => format = Some("pid,pgid,tty,time,comm=CMD"),
                (_, 'u') => format = Some("user,pid,pcpu,pmem,vsz,rss,tty,stat,start,time,args"),
                (false, 'l') => format = Some("uid,pid,ppid,ni,vsz,rss,stat,tty,time,args"),
                _ => return Err(unknown(word)),
            }
        }
    }
    if columns.is_empty() {
        fields(&mut columns, format.unwrap_or("pid,tty,time,comm=CMD"))?;
    }
    Ok(columns)
}

/// `-o LIST`: names, each with a heading of its own behind `=` if wanted.
fn fields(columns: &mut Columns, list: &str) -> Result<()> {
    if list.is_empty() {
        return Err(Error::new("ps: -o needs a list of fields"));
    }
    for field in list.split(',').filter(|field| !field.is_empty()) {
        let (name, heading) = match field.split_once('=') {
            Some((name, heading)) => (name, Some(heading)),
            None => (field, None),
        };
        let column = find(FIELDS, name)
            .or_else(|| find(DESCRIPTORS, name))
            .ok_or_else(|| Error::new(format!("ps: unknown user-defined format specifier {name:?}")))?;
        columns.push((column, heading.unwrap_or(column.heading).to_owned()));
    }
    Ok(())
}

fn unknown(word: &str) -> Error {
    let names: Vec<&str> = DESCRIPTORS.iter().map(|column| column.names[0]).collect();
    Error::new(format!("{word:?} is neither a format descriptor nor an option of ps that is understood here"))
        .hint(format!("descriptors are {}", names.join(",")))
        .hint("options of ps are aux, -ef, -l, -j and -o FIELD,FIELD…; `rpod exec CONTAINER ps …` runs the image's own ps")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_columns() {
        for (typed, wanted) in [
            ("", "USER PID PPID %CPU ELAPSED TTY TIME COMMAND"),
            ("pid seccomp args %C", "PID SECCOMP COMMAND %CPU"),
            ("pid,comm", "PID COMMAND"),
            ("-eo pid,comm", "PID COMMAND"),
            ("-o pid=,user=WHO", "PID- WHO"),
            ("-eopid,args", "PID COMMAND"),
            ("-ef", "UID PID PPID C STIME TTY TIME CMD"),
            ("aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
            ("-aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
            ("-e", "PID TTY TIME CMD"),
            ("--format pid,etimes", "PID ELAPSED"),
        ] {
            let words: Vec<String> = typed.split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect();
            let found = columns(&words).expect(typed);
            let headings =
                found.iter().map(|(column, h)| if h.is_empty() { format!("{}-", column.heading) } else { h.clone() });
            assert_eq!(headings.collect::<Vec<_>>().join(" "), wanted, "{typed}");
        }
        for bad in ["foo", "pid foo", "-eo", "-o foo", "-Z", "--forest"] {
            let words: Vec<String> = bad.split(' ').map(str::to_owned).collect();
            assert!(columns(&words).is_err(), "{bad}");
        }
    }
}
