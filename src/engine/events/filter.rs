//! `--filter KEY=VALUE` of `events`: values of one key are alternatives, keys must all hold; labels must all hold as well.

use super::{Event, Subject};
use crate::error::{Error, Result};

/// All filters of a command line.
#[derive(Debug, Default)]
pub(crate) struct Filters(Vec<(Key, Vec<String>)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Status,
    Type,
    Container,
    Image,
    Volume,
    Network,
    Pod,
    Label,
}

impl Filters {
    pub(crate) fn parse(texts: &[String]) -> Result<Self> {
        let mut filters = Self::default();
        for text in texts {
            let (name, value) =
                text.split_once('=').ok_or_else(|| Error::new(format!("{text} is an invalid filter")))?;
            let key = match name.to_ascii_lowercase().as_str() {
                "event" | "status" => Key::Status,
                "type" => Key::Type,
                "container" => Key::Container,
                "image" => Key::Image,
                "volume" => Key::Volume,
                "network" => Key::Network,
                "pod" => Key::Pod,
                "label" => Key::Label,
                _ => return Err(Error::new(format!("{text} is an invalid filter"))),
            };
            match filters.0.iter_mut().find(|(known, _)| *known == key && key != Key::Label) {
                Some((_, values)) => values.push(value.to_owned()),
                None => filters.0.push((key, vec![value.to_owned()])),
            }
        }
        Ok(filters)
    }

    pub(crate) fn match_all(&self, event: &Event<'_>) -> bool {
        self.0.iter().all(|(key, values)| values.iter().any(|value| matches(*key, value, event)))
    }
}

fn matches(key: Key, value: &str, event: &Event<'_>) -> bool {
    let of = |subject| event.subject == subject;
    let named = || event.name == value || (!value.is_empty() && event.id.starts_with(value));
    match key {
        // Docker's word for what Podman calls died.
        Key::Status => event.status == value || (value == "die" && event.status == "died"),
        Key::Type => event.subject.as_str() == value,
        Key::Container => of(Subject::Container) && named(),
        Key::Image => match event.subject {
            Subject::Image => named() || is_image(&event.name, value),
            Subject::Container => is_image(&event.image, value),
            _ => false,
        },
        Key::Volume => of(Subject::Volume) && named(),
        Key::Network => of(Subject::Network) && (event.network == value || named()),
        Key::Pod => of(Subject::Pod) && named(),
        Key::Label => event.attributes.as_ref().is_some_and(|labels| match value.split_once('=') {
            Some((name, value)) => labels.get(name).is_some_and(|has| has == value),
            None => labels.contains_key(value),
        }),
    }
}

/// An image's full name, or its end after a slash, with or without the tag.
fn is_image(name: &str, wanted: &str) -> bool {
    let ends = |name: &str| name == wanted || name.strip_suffix(wanted).is_some_and(|rest| rest.ends_with('/'));
    let untagged = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(name, |(name, _)| name);
    !wanted.is_empty() && (ends(name) || ends(untagged))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn keys_and_alternatives() {
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let event = Event {
            id: "05aa".into(),
            name: "web".into(),
            image: "docker.io/library/nginx:1".into(),
            attributes: Some(Cow::Owned(labels)),
            ..Event::new(Subject::Container, "died")
        };
        for (filters, expected) in [
            (&["event=died"][..], true),
            (&["event=die"], true),
            (&["event=start", "event=died"], true),
            (&["event=start"], false),
            (&["event=died", "type=image"], false),
            (&["type=container", "container=web"], true),
            (&["container=05"], true),
            (&["container=eb"], false),
            (&["image=nginx"], true),
            (&["image=nginx:1"], true),
            (&["image=ginx"], false),
            (&["volume=web"], false),
            (&["label=a"], true),
            (&["label=a=b"], true),
            (&["label=a=c"], false),
            (&["label=a", "label=x"], false),
        ] {
            let texts: Vec<String> = filters.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(Filters::parse(&texts).expect("parses").match_all(&event), expected, "{filters:?}");
        }
        for bad in ["event", "foo=bar", ""] {
            assert!(Filters::parse(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
