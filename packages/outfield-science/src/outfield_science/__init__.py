"""Signals of the sciences for outfield: simulated radar of rotors, and learners that know one class alone."""
