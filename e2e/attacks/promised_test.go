package attacks

// promised are the cases that have to be there, by their names in the catalogue.
const promised = `
H-02
`
