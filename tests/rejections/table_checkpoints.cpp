// What tables of rows have in a header of their own.
#include <tutti/tutti.hpp>

// REJECT save_rows_without_its_header: tutti::sparse_table: save and load have a header of their own - include <tutti/training/table_checkpoint.hpp>
#if defined REJECT_save_rows_without_its_header
#else
#  include <tutti/training/table_checkpoint.hpp> // indented: check.sh reads the others once for all cases
#endif
#include <tutti/carriers/sparse_table.hpp>

void rows_saved(tutti::self& comm) {
  tutti::sparse_table table{comm, tutti::star{}, tutti::sgd{}, tutti::sparse_options{}};
  table.save("runs/rows-1");
  table.load("runs/rows-1");
}
