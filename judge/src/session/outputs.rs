//! What cells showed, as a notebook keeps it.

use protocol::{CellOutput, Display, ExecuteReply, SessionEvent};
use tokio::sync::mpsc;

/// The outputs of one cell, as they add up.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    outputs: Vec<CellOutput>,
    /// By which id an output can be shown anew; in the order of `outputs`.
    ids: Vec<Option<String>>,
    clear_next: bool,
}

impl Outputs {
    /// All of a cell's outputs, and how it ended; `None` where the session ended before the cell began.
    pub async fn collect(
        mut events: mpsc::Receiver<SessionEvent>,
    ) -> Option<(Vec<CellOutput>, ExecuteReply)> {
        let mut outputs = Self::default();
        while let Some(event) = events.recv().await {
            if let Some(reply) = outputs.take(event) {
                return Some((outputs.outputs, reply));
            }
        }
        None
    }

    fn take(&mut self, event: SessionEvent) -> Option<ExecuteReply> {
        match event {
            SessionEvent::ExecuteReply(reply) => return Some(reply),
            SessionEvent::Status { .. } => {}
            SessionEvent::Stream { name, text } => self.stream(name, text),
            SessionEvent::DisplayData(display) => {
                let Display { data, metadata, transient, .. } = display;
                let id = transient.get("display_id").and_then(|id| id.as_str()).map(str::to_owned);
                self.push(CellOutput::DisplayData { data, metadata }, id);
            }
            SessionEvent::UpdateDisplayData(display) => self.update(display),
            SessionEvent::ExecuteResult(display) => {
                let Display { data, metadata, execution_count, .. } = display;
                self.push(CellOutput::ExecuteResult { data, metadata, execution_count }, None);
            }
            SessionEvent::ClearOutput { wait: true } => self.clear_next = true,
            SessionEvent::ClearOutput { wait: false } => self.clear(),
            SessionEvent::Error(error) => self.push(CellOutput::Error(error), None),
        }
        None
    }

    fn push(&mut self, output: CellOutput, id: Option<String>) {
        if std::mem::take(&mut self.clear_next) {
            self.clear();
        }
        self.outputs.push(output);
        self.ids.push(id);
    }

    fn clear(&mut self) {
        self.outputs.clear();
        self.ids.clear();
    }

    /// Text that follows text of the same stream is one output with it.
    fn stream(&mut self, name: String, text: String) {
        if !self.clear_next
            && let Some(CellOutput::Stream { name: last, text: before }) = self.outputs.last_mut()
            && *last == name
        {
            before.push_str(&text);
            return;
        }
        self.push(CellOutput::Stream { name, text }, None);
    }

    fn update(&mut self, display: Display) {
        let Some(wanted) = display.transient.get("display_id").and_then(|id| id.as_str()) else {
            return;
        };
        for (output, id) in self.outputs.iter_mut().zip(&self.ids) {
            if id.as_deref() == Some(wanted)
                && let CellOutput::DisplayData { data, metadata } = output
            {
                data.clone_from(&display.data);
                metadata.clone_from(&display.metadata);
            }
        }
    }
}

/// All text of one stream.
#[must_use]
pub fn stream_text(outputs: &[CellOutput], stream: &str) -> String {
    let text = |output: &CellOutput| match output {
        CellOutput::Stream { name, text } if name == stream => Some(text.clone()),
        CellOutput::Stream { .. }
        | CellOutput::DisplayData { .. }
        | CellOutput::ExecuteResult { .. }
        | CellOutput::Error(_) => None,
    };
    outputs.iter().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outputs(events: serde_json::Value) -> serde_json::Value {
        let events: Vec<SessionEvent> = serde_json::from_value(events).unwrap();
        let mut outputs = Outputs::default();
        for event in events {
            assert!(outputs.take(event).is_none());
        }
        serde_json::to_value(outputs.outputs).unwrap()
    }

    #[test]
    fn text_adds_up_and_what_is_cleared_or_shown_anew_is_gone() {
        let text = |name: &str, text: &str| json!({"msg_type": "stream", "content": {"name": name, "text": text}});
        let shown = |kind: &str, data: &str| {
            json!({"msg_type": kind, "content": {"data": {"text/plain": data}, "metadata": {},
                "transient": {"display_id": "d"}}})
        };
        let clear = json!({"msg_type": "clear_output", "content": {"wait": true}});
        let found = outputs(json!([
            text("stdout", "gone"),
            clear,
            text("stdout", "a"),
            text("stdout", "b"),
            text("stderr", "c"),
            shown("display_data", "old"),
            shown("update_display_data", "new"),
        ]));
        let expected = json!([
            {"output_type": "stream", "name": "stdout", "text": "ab"},
            {"output_type": "stream", "name": "stderr", "text": "c"},
            {"output_type": "display_data", "data": {"text/plain": "new"}, "metadata": {}},
        ]);
        assert_eq!(found, expected);
    }
}
