//! Tokens, and what they cost.

use serde::{Deserialize, Serialize};

/// The tokens of one call, as the endpoint counted them; where it does not count, four bytes are taken for a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer, reasoning included.
    pub completion_tokens: u64,
}

/// The price of a model in any currency, per million tokens.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Price {
    /// Of a million tokens of prompts.
    pub prompt: f64,
    /// Of a million tokens of answers.
    pub completion: f64,
}

impl Price {
    /// What these tokens cost.
    ///
    /// ```
    /// use synthllm_llm::{Price, Usage};
    /// let price = Price { prompt: 0.5, completion: 2.0 };
    /// assert_eq!(price.cost(Usage { prompt_tokens: 3_000_000, completion_tokens: 500_000 }), 2.5);
    /// ```
    pub fn cost(&self, usage: Usage) -> f64 {
        (self.prompt * usage.prompt_tokens as f64 + self.completion * usage.completion_tokens as f64) / 1e6
    }
}
