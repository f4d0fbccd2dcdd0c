package testport

// ReserveNumber is reserve for the tests of this package.
var ReserveNumber = reserve
