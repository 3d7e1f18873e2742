//! Prometheus' text format, as far as tests read it.

/// The samples of one scrape.
#[derive(Debug, Clone)]
pub struct Metrics {
    text: String,
    samples: Vec<Sample>,
}

#[derive(Debug, Clone)]
struct Sample {
    name: String,
    labels: String,
    value: f64,
}

impl Metrics {
    /// Reads the text format (Prometheus documentation, "Exposition formats").
    pub fn parse(text: &str) -> Self {
        let samples = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
            .map(|line| {
                let (series, value) = line.rsplit_once(' ').expect("a sample is a series and a value");
                let (name, labels) = series.split_once('{').unwrap_or((series, ""));
                let value = value.parse().unwrap_or_else(|_| panic!("`{line}` has no number"));
                Sample { name: name.to_owned(), labels: labels.trim_end_matches('}').to_owned(), value }
            })
            .collect();
        Self { text: text.to_owned(), samples }
    }

    /// The sum of all series of that name; none when there is no such series.
    pub fn sum(&self, name: &str) -> Option<f64> {
        self.sum_where(name, "")
    }

    /// The sum of the series of that name whose labels hold `label`, such as `status="200"`.
    pub fn sum_where(&self, name: &str, label: &str) -> Option<f64> {
        self.samples
            .iter()
            .filter(|sample| sample.name == name && sample.labels.contains(label))
            .map(|sample| sample.value)
            .reduce(|sum, value| sum + value)
    }

    /// The names of all series, each once, in order of appearance.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for sample in &self.samples {
            if !names.contains(&sample.name.as_str()) {
                names.push(&sample.name);
            }
        }
        names
    }

    /// The text as it came.
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_name_and_label() {
        let text = "# HELP a b\na{x=\"1\",y=\"2\"} 3\na{x=\"2\"} 4.5\nb 1\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.sum("a"), Some(7.5));
        assert_eq!(metrics.sum_where("a", "x=\"1\""), Some(3.0));
        assert_eq!(metrics.sum("c"), None);
        assert_eq!(metrics.names(), ["a", "b"]);
    }
}
