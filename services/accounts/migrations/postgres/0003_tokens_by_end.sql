-- Which named tokens end soon is counted each minute. Those that signing in gives are many and nobody waits for their end.
CREATE INDEX named_tokens_by_end ON tokens (expires_at) WHERE name <> 'sign-in';
