pub fn memory(_records: usize) {}
