"""One model's behaviour card: what it does on ID data, under shift and outside, and which detector guards it."""
