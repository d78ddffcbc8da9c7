package redis

// Connect tries to connect once.
func (s *Store) Connect() error { return s.connect() }
