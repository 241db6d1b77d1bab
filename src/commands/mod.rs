//! One file per verb: arguments → engine → view.
